// One to four pictures, large. Pan and zoom are locked in relative coordinates: the same place of the picture stands at
// the same place of every pane, whatever its size in pixels.
const MODES = [
  { id: "slider", name: "Slider" },
  { id: "side", name: "Side by side" },
  { id: "flicker", name: "Flicker" },
];
const FLICKER_MS = 600;
const MAX_ZOOM = 40;

export default {
  props: { pictures: Array, differences: String, start: String, full: Boolean },
  emits: ["close", "mode"],
  data() {
    return {
      mode: this.start, zoom: 1, x: 0.5, y: 0.5, split: 0.5, pane: { width: 1, height: 1 }, left: 0, right: 1, shown: 0, running: true,
      dragging: null,
    };
  },
  computed: {
    modes: () => MODES,
    single() {
      return this.pictures.length === 1;
    },
    choosable() {
      return this.mode === "flicker" ? !this.single : this.mode === "slider" && this.pictures.length > 2;
    },
    panes() {
      if (this.single) return [0];
      if (this.mode === "side") return this.pictures.map((_, index) => index);
      return this.mode === "slider" ? [this.left, this.right] : [this.shown];
    },
    fitScale() {
      // screen px for one relative unit of the largest picture when it fits
      const { width, height } = this.reference;
      return Math.min(this.pane.width / width, this.pane.height / height);
    },
    reference() {
      return this.pictures.reduce((best, picture) => (picture.width * picture.height > best.width * best.height ? picture : best));
    },
    fullZoom() {
      return 1 / (this.fitScale * (window.devicePixelRatio || 1));
    },
    percent() {
      return Math.round(100 * this.fitScale * this.zoom * (window.devicePixelRatio || 1));
    },
  },
  watch: {
    mode() {
      this.$emit("mode", this.mode);
      this.$nextTick(() => this.measure());
      this.restartFlicker();
    },
    running() {
      this.restartFlicker();
    },
  },
  mounted() {
    this.opener = document.activeElement;
    this.observer = new ResizeObserver(() => this.measure());
    this.observer.observe(this.$refs.stage);
    this.keys = (event) => this.pressed(event);
    window.addEventListener("keydown", this.keys, true);
    this.$refs.root.focus();
    this.restartFlicker();
    this.measure();
    if (this.full) this.fullSize();
  },
  unmounted() {
    this.observer.disconnect();
    clearInterval(this.timer);
    window.removeEventListener("keydown", this.keys, true);
    this.opener?.focus?.({ preventScroll: true });
  },
  methods: {
    measure() {
      const pane = this.$refs.stage?.querySelector(".viewer-pane");
      if (pane) this.pane = { width: pane.clientWidth || 1, height: pane.clientHeight || 1 };
    },
    restartFlicker() {
      clearInterval(this.timer);
      if (this.mode === "flicker" && !this.single && this.running)
        this.timer = setInterval(() => (this.shown = (this.shown + 1) % this.pictures.length), FLICKER_MS);
    },
    placed(index) {
      const picture = this.pictures[index];
      const fit = Math.min(this.pane.width / picture.width, this.pane.height / picture.height);
      const width = picture.width * fit * this.zoom;
      const height = picture.height * fit * this.zoom;
      const sharp = width / picture.width >= 3 / (window.devicePixelRatio || 1) && this.zoom > 1;
      return {
        width: `${width}px`, height: `${height}px`, imageRendering: sharp ? "pixelated" : "auto",
        transform: `translate(${this.pane.width / 2 - this.x * width}px, ${this.pane.height / 2 - this.y * height}px)`,
      };
    },
    zoomAt(factor, event) {
      const zoom = Math.min(MAX_ZOOM, Math.max(Math.min(1, this.fullZoom), this.zoom * factor));
      if (event) {
        const box = event.currentTarget.getBoundingClientRect();
        const [px, py] = [(event.clientX - box.left - box.width / 2), (event.clientY - box.top - box.height / 2)];
        const { width, height } = this.extent(this.zoom);
        const grown = this.extent(zoom);
        this.x += px / width - px / grown.width;
        this.y += py / height - py / grown.height;
      }
      this.zoom = zoom;
      this.keepInside();
    },
    extent(zoom) {
      return { width: this.reference.width * this.fitScale * zoom, height: this.reference.height * this.fitScale * zoom };
    },
    keepInside() {
      const { width, height } = this.extent(this.zoom);
      const clamp = (value, half) => (half >= 0.5 ? 0.5 : Math.min(1 - half, Math.max(half, value)));
      this.x = clamp(this.x, this.pane.width / 2 / width);
      this.y = clamp(this.y, this.pane.height / 2 / height);
    },
    fit() {
      [this.zoom, this.x, this.y] = [1, 0.5, 0.5];
    },
    fullSize() {
      if (Math.abs(this.zoom - this.fullZoom) < 0.01) this.fit();
      else this.zoom = this.fullZoom;
      this.keepInside();
    },
    wheel(event) {
      event.preventDefault();
      this.zoomAt(Math.exp(-event.deltaY * 0.002), event);
    },
    grab(event) {
      if (event.button !== 0) return;
      event.preventDefault();
      event.currentTarget.setPointerCapture(event.pointerId);
      this.dragging = { x: event.clientX, y: event.clientY };
    },
    drag(event) {
      if (!this.dragging) return;
      const { width, height } = this.extent(this.zoom);
      this.x -= (event.clientX - this.dragging.x) / width;
      this.y -= (event.clientY - this.dragging.y) / height;
      this.dragging = { x: event.clientX, y: event.clientY };
      this.keepInside();
    },
    release() {
      this.dragging = null;
    },
    grabSplit(event) {
      event.preventDefault();
      event.stopPropagation();
      event.currentTarget.setPointerCapture(event.pointerId);
      this.splitting = true;
    },
    dragSplit(event) {
      if (!this.splitting) return;
      const box = this.$refs.stage.getBoundingClientRect();
      this.split = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    },
    choose(index) {
      if (this.mode === "flicker") {
        this.running = false;
        this.shown = index;
      } else if (this.mode === "slider" && index !== this.left && index !== this.right) this.right = index;
      else if (this.mode === "slider") [this.left, this.right] = [this.right, this.left];
    },
    isShown(index) {
      return this.panes.includes(index);
    },
    pressed(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const step = 0.08 / this.zoom;
      const nudgesSplit = this.mode === "slider" && document.activeElement === this.$refs.handle;
      const actions = {
        Escape: () => this.$emit("close"), z: () => this.fullSize(), 0: () => this.fit(),
        "+": () => this.zoomAt(1.25), "=": () => this.zoomAt(1.25), "-": () => this.zoomAt(0.8),
        ArrowLeft: () => (nudgesSplit ? (this.split = Math.max(0, this.split - 0.02)) : (this.x -= step)),
        ArrowRight: () => (nudgesSplit ? (this.split = Math.min(1, this.split + 0.02)) : (this.x += step)),
        ArrowUp: () => (this.y -= step), ArrowDown: () => (this.y += step),
        1: () => this.choose(0), 2: () => this.choose(1), 3: () => this.pictures[2] && this.choose(2),
        4: () => this.pictures[3] && this.choose(3), Tab: () => this.trapTab(event),
      };
      const action = actions[event.key];
      if (!action) return;
      event.stopPropagation();
      if (event.key !== "Tab") event.preventDefault();
      action();
      this.keepInside();
    },
    trapTab(event) {
      const reachable = [...this.$refs.root.querySelectorAll("button, a[href], [tabindex='0']")];
      const [first, last] = [reachable[0], reachable[reachable.length - 1]];
      const outside = !this.$refs.root.contains(document.activeElement) || document.activeElement === this.$refs.root;
      if (event.shiftKey && (outside || document.activeElement === first)) [event.preventDefault(), last.focus()];
      else if (!event.shiftKey && (outside || document.activeElement === last)) [event.preventDefault(), first.focus()];
    },
  },
  template: `
  <div ref="root" class="viewer" role="dialog" aria-modal="true" data-modal tabindex="-1" :aria-label="single ? 'Picture' : 'Compare pictures'">
    <header class="viewer-head">
      <div v-if="!single" class="segments" role="group" aria-label="Way to compare">
        <button v-for="one in modes" :key="one.id" :aria-pressed="mode === one.id" @click="mode = one.id">{{ one.name }}</button>
      </div>
      <p class="viewer-differences" dir="auto" :title="differences">{{ differences }}</p>
      <button v-if="mode === 'flicker' && !single" class="tool" :aria-label="running ? 'Stop flickering' : 'Flicker'" @click="running = !running">
        <i class="icon" :class="running ? 'icon-pause' : 'icon-play'"></i></button>
      <button class="tool" aria-label="Zoom out" @click="zoomAt(0.8)"><i class="icon icon-minus"></i></button>
      <button class="tool viewer-percent" title="Fit or 100 % (Z)" aria-label="Zoom: fit or 100 percent" @click="fullSize">{{ percent }} %</button>
      <button class="tool" aria-label="Zoom in" @click="zoomAt(1.25)"><i class="icon icon-plus"></i></button>
      <button class="tool" aria-label="Close" title="Close (Esc)" @click="$emit('close')"><i class="icon icon-close"></i></button>
    </header>
    <div ref="stage" class="viewer-stage" :class="['mode-' + (single ? 'single' : mode), 'of-' + panes.length]">
      <div v-for="(index, place) in panes" :key="mode + place" class="viewer-pane" :class="{ over: mode === 'slider' && place === 1 && !single }"
        :style="mode === 'slider' && place === 1 && !single ? { clipPath: 'inset(0 0 0 ' + split * 100 + '%)' } : null"
        :data-zoom="zoom" :data-x="x" :data-y="y"
        @wheel="wheel" @pointerdown="grab" @pointermove="drag" @pointerup="release" @pointercancel="release" @dblclick="fullSize">
        <img :src="pictures[index].url" :style="placed(index)" :alt="pictures[index].label" draggable="false" decoding="async">
        <span v-if="mode !== 'flicker' || single" class="viewer-label" :class="{ right: mode === 'slider' && place === 1 }">{{ pictures[index].label }}</span>
      </div>
      <div v-if="mode === 'slider' && !single" ref="handle" class="viewer-split" role="slider" tabindex="0" aria-label="Split between the two pictures"
        aria-valuemin="0" aria-valuemax="100" :aria-valuenow="Math.round(split * 100)" :style="{ left: split * 100 + '%' }"
        @pointerdown="grabSplit" @pointermove="dragSplit" @pointerup="splitting = false"><i></i></div>
    </div>
    <footer v-if="choosable" class="viewer-foot">
      <button v-for="(picture, index) in pictures" :key="index" class="viewer-chip" :class="{ on: isShown(index) }" :aria-pressed="isShown(index)"
        @click="choose(index)"><img :src="picture.thumb" alt=""><span><b>{{ index + 1 }}</b> {{ picture.label }}</span></button>
    </footer>
  </div>`,
};
