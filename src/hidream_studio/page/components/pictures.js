// The pictures that go into the model, as a strip: sent to the server one after the other, put in order by dragging or by keys.
const DRAG_FROM_PX = 5; // a press that moves less is a click
const STEPS = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };

// What the server says of a file that it refuses: its sentence, else what can be told from the status.
function refusal(request) {
  try {
    return JSON.parse(request.responseText).error.message;
  } catch {
    if (request.status === 413) return "it is too large";
    return request.status ? `the server answered ${request.status}` : "it could not be sent; is the server still there?";
  }
}

export default {
  props: { pictures: Array, most: Number, mostBytes: Number, to: String },
  emits: ["order", "remove", "open", "rename", "uploaded", "refused"],
  data() {
    return { own: this.pictures, sending: [], dragged: null, at: null, over: false };
  },
  watch: {
    pictures(fresh) {
      this.own = fresh;
    },
  },
  mounted() {
    this.listeners = [
      [document, "studio-upload", (event) => this.send(event.detail)],
      [window, "pointermove", (event) => this.drag(event)],
      [window, "pointerup", () => this.drop()],
      [window, "pointercancel", () => this.leave()],
    ];
    for (const [target, name, listener] of this.listeners) target.addEventListener(name, listener);
  },
  unmounted() {
    for (const [target, name, listener] of this.listeners) target.removeEventListener(name, listener);
  },
  computed: {
    // of each picture the place where it stands, or would stand if it were dropped now
    places() {
      const order = this.own.map((_, index) => index);
      if (this.at !== null) order.splice(this.at, 0, order.splice(this.dragged.index, 1)[0]);
      return this.own.map((_, index) => order.indexOf(index));
    },
    room() {
      return this.most - this.own.length - this.sending.length;
    },
  },
  methods: {
    pick() {
      this.$refs.file.click();
    },
    chosen(event) {
      const files = [...event.target.files];
      event.target.value = "";
      this.send(files);
    },

    // sending: one after the other, so that they stand in the order in which they were given
    async send(files) {
      const room = this.room;
      if (files.length > room) this.$emit("refused", `There may be ${this.most} pictures: ${files.length - room} of these were left out.`);
      const sent = files.slice(0, Math.max(0, room)).map((file) => ({ file, name: file.name, key: Symbol(), done: 0 }));
      this.sending.push(...sent);
      this.line = (this.line ?? Promise.resolve()).then(async () => {
        for (const { key } of sent) await this.sendOne(this.sending.find((one) => one.key === key));
      });
      await this.line;
    },
    async sendOne(one) {
      try {
        if (one.file.size > this.mostBytes)
          throw new Error(`it has ${Math.ceil(one.file.size / 2 ** 20)} MiB; a picture may have ${Math.floor(this.mostBytes / 2 ** 20)} MiB`);
        const upload = await this.posted(one);
        this.$emit("uploaded", { id: upload.id, name: one.name });
      } catch (error) {
        this.$emit("refused", `${one.name}: ${error.message}.`.replace(/\.\.$/, "."));
      }
      this.sending = this.sending.filter((other) => other.key !== one.key);
    },
    posted(one) {
      return new Promise((resolve, reject) => {
        const request = new XMLHttpRequest();
        request.open("POST", this.to);
        request.upload.onprogress = ({ loaded, total }) => (one.done = total ? loaded / total : 0);
        request.onerror = () => reject(new Error(refusal(request)));
        request.onload = () => {
          if (request.status >= 300) reject(new Error(refusal(request)));
          else resolve(JSON.parse(request.responseText).uploads[0]);
        };
        const form = new FormData();
        form.append("file", one.file, one.name);
        request.send(form);
      });
    },

    // order
    press(index, event) {
      if (event.button !== 0) return;
      this.dragged = { index, x: event.clientX, y: event.clientY, dx: 0, dy: 0 };
      this.boxes = this.$refs.tiles.map((tile) => tile.getBoundingClientRect());
      this.moved = false;
    },
    drag(event) {
      if (!this.dragged) return;
      const [dx, dy] = [event.clientX - this.dragged.x, event.clientY - this.dragged.y];
      if (this.at === null && Math.hypot(dx, dy) < DRAG_FROM_PX) return;
      this.moved = true;
      this.dragged = { ...this.dragged, dx, dy };
      const away = (box) => Math.hypot(event.clientX - box.x - box.width / 2, event.clientY - box.y - box.height / 2);
      const nearest = this.boxes.map(away);
      this.at = nearest.indexOf(Math.min(...nearest));
    },
    drop() {
      const { index } = this.dragged ?? {};
      const at = this.at;
      this.leave();
      if (at !== null && at !== index) this.move(index, at);
    },
    leave() {
      this.dragged = null;
      this.at = null;
    },
    lifted(index) {
      const place = this.places[index];
      const style = { order: place };
      if (this.at === null || this.dragged.index !== index) return style;
      const [from, to] = [this.boxes[index], this.boxes[place]];
      const [x, y] = [this.dragged.dx + from.x - to.x, this.dragged.dy + from.y - to.y];
      return { ...style, transform: `translate(${x}px, ${y}px)` };
    },
    move(from, to) {
      const order = this.own.map((_, index) => index);
      order.splice(to, 0, order.splice(from, 1)[0]);
      this.own = order.map((index) => this.own[index]);
      this.$emit("order", order);
    },
    clicked(index) {
      if (!this.moved) this.$emit("open", index);
    },
    keyed(index, event) {
      const step = STEPS[event.key];
      const removes = event.key === "Delete" || event.key === "Backspace";
      if ((!step && !removes) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      if (removes) {
        this.$emit("remove", index);
        this.focus(Math.max(0, index - 1));
        return;
      }
      const to = Math.min(this.own.length - 1, Math.max(0, index + step));
      if (event.shiftKey && to !== index) this.move(index, to);
      this.focus(to);
    },
    focus(index) {
      this.$nextTick(() => this.$refs.root.querySelectorAll(".picture-thumb")[index]?.focus());
    },
    renamed(index, event) {
      this.$emit("rename", { index, role: event.target.value.trim() });
    },
  },
  template: `
  <div ref="root" data-takes-pictures>
    <input ref="file" type="file" accept="image/*" multiple hidden aria-hidden="true" tabindex="-1" @change="chosen">
    <button v-if="!own.length && !sending.length" class="chip" title="Drop, paste or choose pictures to change, or to put into the scene" @click="pick">
      <i class="icon icon-plus"></i><span>Pictures</span></button>
    <ul v-else class="picture-strip" aria-label="Pictures, in their order">
      <li v-for="(picture, index) in own" ref="tiles" :key="picture.id" class="picture" :class="{ missing: picture.missing, lifted: at !== null && dragged.index === index }"
        :style="lifted(index)">
        <button class="picture-thumb" :aria-label="'Picture ' + (index + 1) + ', ' + picture.name + (picture.missing ? ', missing' : '') + '. Shift and arrows move it, Delete takes it out.'"
          :title="picture.title" @pointerdown="press(index, $event)" @click="clicked(index)" @keydown="keyed(index, $event)">
          <img v-if="picture.thumb" :src="picture.thumb" alt="" draggable="false"><span v-else>missing</span>
          <b class="picture-number">{{ places[index] + 1 }}</b></button>
        <button class="picture-remove" :aria-label="'Take out picture ' + (index + 1)" title="Take out" @click="$emit('remove', index)"><i class="icon icon-close"></i></button>
        <input class="picture-name" :value="picture.name" maxlength="40" :aria-label="'Name of picture ' + (index + 1)" :title="picture.name" autocomplete="off" spellcheck="false"
          @change="renamed(index, $event)" @keydown.enter="$event.target.blur()">
      </li>
      <li v-for="one in sending" :key="one.key" class="picture sending" style="order: 98" :aria-label="'Sending ' + one.name">
        <span class="picture-thumb" role="progressbar" aria-valuemin="0" aria-valuemax="100" :aria-valuenow="Math.round(100 * one.done)"
          :aria-label="'Sending ' + one.name"><i :style="{ transform: 'scaleX(' + one.done + ')' }"></i></span>
        <span class="picture-name">{{ one.name }}</span>
      </li>
      <li v-if="room > 0" class="picture" style="order: 99">
        <button class="picture-thumb picture-more" aria-label="Add pictures" title="Add pictures" @click="pick"><i class="icon icon-plus"></i></button>
      </li>
    </ul>
  </div>`,
};
