// Where each picture shall stand: boxes on a canvas of the output's shape, drawn, moved, resized and deleted by hand or keys.
// A box is [x1, x2, y1, y2], each 0 to 1; null where a picture has none.
const SMALLEST = 0.04; // of a side
const STEP = 0.01;
const CORNERS = [[0, 2], [1, 2], [0, 3], [1, 3]]; // which of the box's four values a corner moves
const NEW = [0.25, 0.75, 0.2, 0.8];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const within = (value, low, high) => Math.min(high, Math.max(low, value));
const rounded = (box) => box.map((value) => Math.round(value * 1000) / 1000);

export default {
  props: { pictures: Array, start: Array, ratio: Number },
  emits: ["boxes"],
  data() {
    return { boxes: this.start.map((box) => box && [...box]), chosen: 0, held: null };
  },
  created() {
    this.chosen = Math.max(0, this.boxes.findIndex((box) => !box));
  },
  mounted() {
    this.listeners = [["pointermove", (event) => this.drag(event)], ["pointerup", () => this.release()], ["pointercancel", () => this.release()]];
    for (const [name, listener] of this.listeners) window.addEventListener(name, listener);
  },
  unmounted() {
    for (const [name, listener] of this.listeners) window.removeEventListener(name, listener);
  },
  methods: {
    place(box) {
      const [x1, x2, y1, y2] = box.map((value) => 100 * value);
      return { left: `${x1}%`, width: `${x2 - x1}%`, top: `${y1}%`, height: `${y2 - y1}%` };
    },
    order(index) {
      // the smaller lies above the larger, so that each can be reached
      const [x1, x2, y1, y2] = this.boxes[index];
      return { zIndex: this.chosen === index ? 1000 : Math.round(900 * (1 - (x2 - x1) * (y2 - y1))) };
    },
    at(event) {
      const area = this.$refs.canvas.getBoundingClientRect();
      return [within((event.clientX - area.x) / area.width, 0, 1), within((event.clientY - area.y) / area.height, 0, 1)];
    },
    // on the empty canvas: a box for the chosen picture, or for the first that has none
    begin(event) {
      if (event.button !== 0) return;
      event.preventDefault();
      const index = this.boxes[this.chosen] ? this.boxes.findIndex((box) => !box) : this.chosen;
      if (index < 0) return;
      const [x, y] = this.at(event);
      this.chosen = index;
      this.held = { index, how: "draw", x, y, from: [x, x, y, y] };
    },
    grab(index, how, event) {
      if (event.button !== 0) return;
      event.preventDefault();
      event.stopPropagation();
      this.chosen = index;
      const [x, y] = this.at(event);
      this.held = { index, how, x, y, from: [...this.boxes[index]] };
      event.currentTarget.closest(".box").focus({ preventScroll: true });
    },
    drag(event) {
      if (!this.held) return;
      const { index, how, x, y, from } = this.held;
      const [nowX, nowY] = this.at(event);
      if (how === "move") this.boxes[index] = this.moved(from, nowX - x, nowY - y);
      else if (how === "draw") {
        const box = [Math.min(x, nowX), Math.max(x, nowX), Math.min(y, nowY), Math.max(y, nowY)];
        if (box[1] - box[0] >= SMALLEST && box[3] - box[2] >= SMALLEST) this.boxes[index] = box;
      } else this.boxes[index] = this.stretched(from, CORNERS[how], nowX - x, nowY - y);
    },
    release() {
      if (!this.held) return;
      this.held = null;
      this.tell();
    },
    moved([x1, x2, y1, y2], dx, dy) {
      dx = within(dx, -x1, 1 - x2);
      dy = within(dy, -y1, 1 - y2);
      return [x1 + dx, x2 + dx, y1 + dy, y2 + dy];
    },
    stretched(from, [atX, atY], dx, dy) {
      const box = [...from];
      box[atX] = atX === 0 ? within(box[0] + dx, 0, box[1] - SMALLEST) : within(box[1] + dx, box[0] + SMALLEST, 1);
      box[atY] = atY === 2 ? within(box[2] + dy, 0, box[3] - SMALLEST) : within(box[3] + dy, box[2] + SMALLEST, 1);
      return box;
    },
    choose(index) {
      this.chosen = index;
      if (!this.boxes[index]) {
        const aside = 0.04 * index;
        this.boxes[index] = this.moved(NEW, aside, aside);
        this.tell();
      }
      this.$nextTick(() => this.$refs.canvas.querySelector(`[data-box="${index}"]`)?.focus());
    },
    remove(index) {
      this.boxes[index] = null;
      this.chosen = index;
      this.tell();
      this.$nextTick(() => this.$refs.chips[index]?.focus());
    },
    keyed(index, event) {
      if (event.key === "Delete" || event.key === "Backspace") {
        event.preventDefault();
        return this.remove(index);
      }
      const arrow = ARROWS[event.key];
      if (!arrow || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      const [dx, dy] = arrow.map((sign) => sign * STEP);
      this.boxes[index] = event.shiftKey ? this.stretched(this.boxes[index], CORNERS[3], dx, dy) : this.moved(this.boxes[index], dx, dy);
      this.tell();
    },
    tell() {
      this.$emit("boxes", this.boxes.map((box) => box && rounded(box)));
    },
  },
  template: `
  <div class="boxes">
    <div class="boxes-room">
      <div ref="canvas" class="boxes-canvas" :style="{ aspectRatio: ratio, '--ratio': ratio }" @pointerdown="begin">
        <template v-for="(box, index) in boxes">
          <div v-if="box" :key="index" class="box" :data-box="index" :class="{ chosen: chosen === index }" :style="{ ...place(box), ...order(index) }" tabindex="0" role="group"
            :aria-label="'Box of picture ' + (index + 1) + ', from ' + Math.round(100 * box[0]) + ' % across and ' + Math.round(100 * box[2]) + ' % down to '
              + Math.round(100 * box[1]) + ' % and ' + Math.round(100 * box[3]) + ' %. Arrows move it, with Shift they resize it, Delete deletes it.'"
            @pointerdown="grab(index, 'move', $event)" @focus="chosen = index" @keydown="keyed(index, $event)">
            <img v-if="pictures[index].thumb" :src="pictures[index].thumb" alt="" draggable="false">
            <b class="picture-number">{{ index + 1 }}</b>
            <button class="box-remove" :aria-label="'Delete box ' + (index + 1)" title="Delete" @pointerdown.stop @click="remove(index)"><i class="icon icon-close"></i></button>
            <i v-for="corner in 4" :key="corner" class="box-corner" :class="'corner-' + corner" @pointerdown="grab(index, corner - 1, $event)"></i>
          </div>
        </template>
        <p v-if="!boxes.some(Boolean)" class="boxes-hint">Drag to draw where picture {{ chosen + 1 }} shall stand.</p>
      </div>
    </div>
    <div class="boxes-chips" role="group" aria-label="Pictures">
      <button v-for="(picture, index) in pictures" ref="chips" :key="index" class="boxes-chip" :class="{ on: boxes[index] }" :aria-pressed="chosen === index"
        :aria-label="'Picture ' + (index + 1) + ', ' + picture.name + (boxes[index] ? ', has a box' : ', give it a box')" :title="picture.name" @click="choose(index)">
        <img v-if="picture.thumb" :src="picture.thumb" alt=""><b class="picture-number">{{ index + 1 }}</b></button>
    </div>
  </div>`,
};
