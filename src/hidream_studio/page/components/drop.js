// A PNG dropped anywhere: its chunks without the pixels go to the server, so that a 20 MB picture is a few KB to send.
const MAX_TEXT_BYTES = 600_000; // NiceGUI's socket takes messages up to 1 MB, and base64 adds a third
const TEXT_CHUNKS = new Set(["IHDR", "tEXt", "iTXt", "zTXt", "eXIf", "IEND"]);

async function bytesOf(blob) {
  return new Uint8Array(await blob.arrayBuffer());
}

function base64(parts) {
  let binary = "";
  for (const part of parts) for (const byte of part) binary += String.fromCharCode(byte);
  return btoa(binary);
}

async function strippedPng(file) {
  const head = await bytesOf(file.slice(0, 8));
  const parts = [head];
  if (String.fromCharCode(...head.slice(1, 4)) !== "PNG") return { parts };
  let offset = 8;
  let total = 8;
  while (offset + 12 <= file.size) {
    const prefix = await bytesOf(file.slice(offset, offset + 8));
    const length = new DataView(prefix.buffer).getUint32(0);
    const type = String.fromCharCode(...prefix.slice(4, 8));
    if (TEXT_CHUNKS.has(type)) {
      total += length + 12;
      if (total > MAX_TEXT_BYTES) return { error: `${file.name} holds more text than a picture's settings can be.` };
      parts.push(await bytesOf(file.slice(offset, offset + 12 + length)));
    }
    if (type === "IEND") break;
    offset += 12 + length;
  }
  return { parts };
}

export default {
  emits: ["file", "refused"],
  data: () => ({ over: false }),
  mounted() {
    this.depth = 0;
    this.handlers = {
      dragenter: (event) => this.enter(event, 1),
      dragleave: (event) => this.enter(event, -1),
      dragover: (event) => this.carriesFile(event) && event.preventDefault(),
      drop: (event) => this.dropped(event),
    };
    for (const [name, handler] of Object.entries(this.handlers)) window.addEventListener(name, handler);
  },
  unmounted() {
    for (const [name, handler] of Object.entries(this.handlers)) window.removeEventListener(name, handler);
  },
  methods: {
    carriesFile(event) {
      return [...(event.dataTransfer?.types ?? [])].includes("Files");
    },
    enter(event, change) {
      if (!this.carriesFile(event)) return;
      this.depth = Math.max(0, this.depth + change);
      this.over = this.depth > 0;
    },
    async dropped(event) {
      if (!this.carriesFile(event)) return;
      event.preventDefault();
      this.depth = 0;
      this.over = false;
      const file = event.dataTransfer.files[0];
      if (file) await this.read(file);
    },
    choose() {
      this.$refs.file.click();
    },
    async read(file) {
      try {
        const { parts, error } = await strippedPng(file);
        if (error) this.$emit("refused", error);
        else this.$emit("file", { name: file.name, data: base64(parts) });
      } catch {
        this.$emit("refused", `${file.name} cannot be read.`);
      }
    },
    async chosen(event) {
      const file = event.target.files[0];
      event.target.value = "";
      if (file) await this.read(file);
    },
  },
  template: `
  <div>
    <input ref="file" type="file" accept="image/png" hidden aria-hidden="true" tabindex="-1" @change="chosen">
    <div v-if="over" class="drop-veil"><div class="drop-card"><i class="icon icon-recall"></i>Drop the PNG to bring its settings back</div></div>
  </div>`,
};
