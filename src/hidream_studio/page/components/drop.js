// A picture dropped or pasted anywhere: what it says goes to the server without its pixels: of 20 MB a few KB.
// Dropped on the strip of pictures, or several at once, they go there instead, whole (pictures.js sends them).
const MAX_TEXT_BYTES = 600_000; // NiceGUI's socket takes messages up to 1 MB, and base64 adds a third
const TEXT_CHUNKS = new Set(["tEXt", "iTXt", "zTXt", "eXIf"]);
const PICTURES = "image/png,image/jpeg,image/webp";

async function bytesOf(blob) {
  return new Uint8Array(await blob.arrayBuffer());
}

function textOf(bytes) {
  return String.fromCharCode(...bytes);
}

function base64(parts) {
  let binary = "";
  for (const part of parts) for (const byte of part) binary += String.fromCharCode(byte);
  return btoa(binary);
}

// Settings are small: of many texts the smallest are sent, in their order, as long as they fit.
function thatFit(texts) {
  let total = 0;
  const fitting = new Set();
  for (const text of [...texts].sort((a, b) => a.size - b.size)) {
    total += text.size;
    if (total > MAX_TEXT_BYTES) break;
    fitting.add(text);
  }
  return [texts.filter((text) => fitting.has(text)), texts.filter((text) => !fitting.has(text))];
}

async function strippedPng(file, head) {
  const texts = [];
  const rest = [];
  let offset = 8;
  while (offset + 12 <= file.size) {
    const prefix = await bytesOf(file.slice(offset, offset + 8));
    const size = new DataView(prefix.buffer).getUint32(0) + 12;
    const type = textOf(prefix.slice(4, 8));
    const chunk = { size, blob: file.slice(offset, offset + size), offset };
    if (TEXT_CHUNKS.has(type)) texts.push(chunk);
    else if (type === "IHDR" || type === "IEND") rest.push(chunk);
    if (type === "IEND") break;
    offset += size;
  }
  const [kept, dropped] = thatFit(texts);
  const chunks = [...rest, ...kept].sort((a, b) => a.offset - b.offset);
  const left_out = [];
  for (const { blob } of dropped) left_out.push(textOf(await bytesOf(blob.slice(8, 88))).split("\0")[0]);
  const parts = await Promise.all(chunks.map(({ blob }) => bytesOf(blob)));
  return { parts: [head.slice(0, 8), ...parts], left_out: left_out.slice(0, 8) };
}

async function strippedJpeg(file, head) {
  const parts = [head.slice(0, 2)];
  let offset = 2;
  let total = 2;
  while (offset + 4 <= file.size) {
    const prefix = await bytesOf(file.slice(offset, offset + 4));
    if (prefix[0] !== 0xff || prefix[1] === 0xda || prefix[1] === 0xd9) break;
    const size = new DataView(prefix.buffer).getUint16(2) + 2;
    if (prefix[1] === 0xe1 && (total += size) <= MAX_TEXT_BYTES) parts.push(await bytesOf(file.slice(offset, offset + size)));
    offset += size;
  }
  return { parts: [...parts, new Uint8Array([0xff, 0xd9])], left_out: [] };
}

async function strippedWebp(file, head) {
  const parts = [head.slice(0, 12)];
  const left_out = [];
  let offset = 12;
  while (offset + 8 <= file.size) {
    const prefix = await bytesOf(file.slice(offset, offset + 8));
    const length = new DataView(prefix.buffer).getUint32(4, true);
    const size = 8 + length + (length % 2);
    if (textOf(prefix.slice(0, 4)) === "EXIF") {
      if (size <= MAX_TEXT_BYTES) parts.push(await bytesOf(file.slice(offset, offset + size)));
      else left_out.push("EXIF");
    }
    offset += size;
  }
  return { parts, left_out };
}

// Another kind of file is told by its first bytes alone.
async function stripped(file) {
  const head = await bytesOf(file.slice(0, 12));
  if (textOf(head.slice(1, 4)) === "PNG") return strippedPng(file, head);
  if (head[0] === 0xff && head[1] === 0xd8) return strippedJpeg(file, head);
  if (textOf(head.slice(0, 4)) === "RIFF" && textOf(head.slice(8, 12)) === "WEBP") return strippedWebp(file, head);
  return { parts: [head], left_out: [] };
}

export default {
  props: { takesPictures: Boolean },
  emits: ["file", "refused"],
  data: () => ({ over: false, pictures: PICTURES }),
  mounted() {
    this.depth = 0;
    this.handlers = {
      dragenter: (event) => this.enter(event, 1),
      dragleave: (event) => this.enter(event, -1),
      dragover: (event) => this.carriesFile(event) && event.preventDefault(),
      drop: (event) => this.dropped(event),
      paste: (event) => this.pasted(event),
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
      await this.take([...event.dataTransfer.files], event.target);
    },
    async pasted(event) {
      const { files, types } = event.clipboardData ?? {};
      if (!files?.length) return;
      const typing = event.target.closest?.("input, textarea");
      if (typing && types.includes("text/plain")) return; // office programs copy a text and its picture
      event.preventDefault();
      await this.take([...files], event.target);
    },
    async take(files, target) {
      const intoStrip = target instanceof Element && target.closest("[data-takes-pictures]");
      if (this.takesPictures && files.length && (intoStrip || files.length > 1)) this.intoStrip(files);
      else if (files.length) await this.read(files[0]);
    },
    intoStrip(files) {
      document.dispatchEvent(new CustomEvent("studio-upload", { detail: files }));
    },
    useAsPicture() {
      if (this.last) this.intoStrip([this.last]);
    },
    choose() {
      this.$refs.file.click();
    },
    async read(file) {
      this.last = file;
      try {
        const { parts, left_out } = await stripped(file);
        this.$emit("file", { name: file.name, data: base64(parts), left_out });
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
    <input ref="file" type="file" :accept="pictures" hidden aria-hidden="true" tabindex="-1" @change="chosen">
    <div v-if="over" class="drop-veil"><div class="drop-card"><i class="icon icon-recall"></i>{{ takesPictures ? "Drop it: its settings come back, or it becomes a picture to draw from" : "Drop the picture to bring its settings back" }}</div></div>
  </div>`,
};
