// One cell: a picture (with its finals stacked on it) or a job on its way to become one.
// Everything shown comes ready-worded from Python (page/state/cells.py); a cell only draws it.
export default {
  name: "StudioCell",
  props: { cell: Object, ratio: Number, selected: Boolean, picked: Boolean, tabbable: Boolean, usable: Boolean },
  emits: ["act"],
  data: () => ({ broken: false }),
  computed: {
    front() {
      return this.cell.front;
    },
    live() {
      return this.front.state === "waiting" || this.front.state === "running";
    },
    source() {
      return this.front.image || this.front.preview;
    },
    done() {
      return this.front.of ? Math.min(100, (100 * this.front.step) / this.front.of) : 0;
    },
  },
  watch: {
    source() {
      this.broken = false;
    },
  },
  methods: {
    act(name, extra) {
      this.$emit("act", { act: name, key: this.cell.key, ...extra });
    },
  },
  template: `
  <article class="cell" role="group" :data-key="cell.key" :tabindex="tabbable ? 0 : -1" :aria-label="front.label"
    :aria-current="selected ? 'true' : null"
    :class="['is-' + front.state, { selected, picked, stacked: cell.versions.length > 1, rejected: front.rejected, bare: !source }]"
    @focus="act('select')" @click="act('select')" @dblclick="front.image && !$event.target.closest('button') && act('view')">
    <div class="cell-picture" :style="{ aspectRatio: ratio }">
      <img v-if="source && !broken" :src="source" alt="" draggable="false" :loading="front.image ? 'lazy' : 'eager'" decoding="async" @error="broken = true">
      <div v-if="broken" class="cell-note"><span>The file of this picture is gone.</span></div>
      <div v-else-if="front.state === 'waiting'" class="cell-note"><b>{{ front.place }}</b><span>{{ front.left }}</span></div>
      <div v-else-if="front.state === 'running' && !source" class="cell-note"><b>Starting</b><span>{{ front.left }}</span></div>
      <div v-else-if="front.state === 'failed'" class="cell-note cell-failed" :title="front.reason">
        <span>{{ front.reason }}</span>
        <div class="cell-note-actions">
          <button class="small" @click.stop="act('retry')">Retry <span class="estimate">{{ front.cost }}</span></button>
          <button v-if="front.smaller" class="small" @click.stop="act('smaller')">Retry smaller <span class="estimate">{{ front.smallerCost }}</span></button>
          <button class="small quiet" @click.stop="act('dismiss')">Dismiss</button>
        </div>
      </div>
      <div v-else-if="front.state === 'cancelled'" class="cell-note cell-ghost">
        <span>Cancelled</span>
        <div class="cell-note-actions">
          <button class="small" @click.stop="act('retry')">Put back <span class="estimate">{{ front.cost }}</span></button>
          <button class="small quiet" @click.stop="act('dismiss')">Dismiss</button>
        </div>
      </div>
      <div v-if="front.rejected" class="cell-note cell-ghost">
        <span>Rejected</span><button class="small" @click.stop="act('reject')">Undo</button>
      </div>
      <span v-if="front.state === 'running' && source" class="cell-progress">{{ front.progress }}</span>
      <div v-if="front.state === 'running'" class="cell-bar" role="progressbar" :aria-valuenow="front.step" aria-valuemin="0"
        :aria-valuemax="front.of" :aria-label="'Step ' + front.step + ' of ' + front.of"><i :style="{ transform: 'scaleX(' + done / 100 + ')' }"></i></div>
      <div v-if="cell.versions.length > 1" class="cell-versions">
        <button v-for="version in cell.versions" :key="version.key" :class="['is-' + version.state, { on: version.on }]"
          :aria-pressed="version.on" :aria-label="'Show ' + version.badge" tabindex="-1"
          @click.stop="act('version', { version: version.key })">{{ version.badge }}</button>
      </div>
      <button v-if="front.image && !front.rejected" class="cell-button cell-pick" :aria-pressed="picked" aria-label="Pick" title="Pick (Space)"
        tabindex="-1" @click.stop="act('pick')"><i class="icon icon-check"></i></button>
      <button v-if="front.image && !front.rejected" class="cell-button cell-star" :aria-pressed="front.favourite" aria-label="Favourite"
        title="Favourite (.)" tabindex="-1" @click.stop="act('favourite')"><i class="icon" :class="front.favourite ? 'icon-star-full' : 'icon-star'"></i></button>
      <button v-if="usable && front.image && !front.rejected" class="cell-button cell-use" aria-label="Use as picture" title="Use as picture (P)"
        tabindex="-1" @click.stop="act('use')"><i class="icon icon-picture"></i></button>
      <button v-if="live" class="cell-button cell-cancel" aria-label="Cancel" title="Cancel (Shift+X)" tabindex="-1"
        @click.stop="act('cancel')"><i class="icon icon-close"></i></button>
    </div>
    <footer class="cell-foot">
      <span class="cell-seed" title="Seed"><i class="icon icon-seed"></i>{{ front.seed }}</span>
      <span class="cell-time" :title="front.timeTitle">{{ front.time }}</span>
      <span class="cell-size" :title="front.sizeTitle">{{ front.size }} · {{ front.steps }} steps</span>
      <span class="badge" :class="'badge-' + front.rank">{{ front.badge }}</span>
      <span v-if="front.asked" class="cell-asked">{{ front.asked }} was asked</span>
    </footer>
  </article>`,
};
