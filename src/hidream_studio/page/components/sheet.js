// The sheet: groups of cells. Python sends the whole once, then only cells that changed; one cell is one component.
import Cell from "studio-parts";

export default {
  components: { Cell },
  props: { groups: Array, marks: Object, more: Boolean, loading: Boolean, usable: Boolean },
  emits: ["act"],
  data() {
    return { own: this.groups, selected: this.marks.selected, picked: this.marks.picked, hasMore: this.more };
  },
  created() {
    this.index();
  },
  mounted() {
    this.onMove = (event) => this.move(event.detail);
    document.addEventListener("studio-move", this.onMove);
  },
  unmounted() {
    document.removeEventListener("studio-move", this.onMove);
  },
  computed: {
    firstKey() {
      return this.own.find((group) => group.cells.length)?.cells[0].key;
    },
    tabbableKey() {
      return this.byKey.has(this.selected) ? this.selected : this.firstKey;
    },
    pickedSet() {
      return new Set(this.picked);
    },
  },
  methods: {
    index() {
      this.byKey = new Map();
      for (const group of this.own) group.cells.forEach((cell) => this.byKey.set(cell.key, cell));
    },
    reset(groups, more) {
      this.own = groups;
      this.hasMore = more;
      this.index();
    },
    patch(cells) {
      for (const fresh of cells) {
        const cell = this.find(fresh.key);
        if (cell) Object.assign(cell, fresh);
      }
    },
    // [{key, ...changed values of its front}]: previews and times to go, many a second
    progress(changes) {
      for (const { key, ...front } of changes) {
        const cell = this.find(key);
        if (cell) Object.assign(cell.front, front);
      }
    },
    putGroup(group, position) {
      const at = this.own.findIndex((other) => other.id === group.id);
      if (at >= 0) this.own.splice(at, 1, group);
      else this.own.splice(position, 0, group);
      this.index();
    },
    dropGroup(id) {
      this.own = this.own.filter((group) => group.id !== id);
      this.index();
    },
    setMore(more) {
      this.hasMore = more;
    },
    mark(picked) {
      this.picked = picked;
    },
    choose(key) {
      this.selected = key;
    },
    find(key) {
      for (const group of this.own) {
        const cell = group.cells.find((other) => other.key === key);
        if (cell) return cell;
      }
      return null;
    },
    focusCell(key) {
      const cell = this.$el.querySelector(`[data-key="${CSS.escape(key)}"]`);
      cell?.focus({ preventScroll: true });
      cell?.scrollIntoView({ block: "nearest" });
    },
    // The top of the sheet, or as far down as the cell needs. A phone's sheet has no scroll of its own: the page has.
    bringIntoSight(key) {
      this.$nextTick(() => {
        const scroll = this.$el.parentElement;
        scroll.scrollTop = 0;
        if (getComputedStyle(scroll).overflowY === "visible") scroll.parentElement.scrollIntoView();
        this.$el.querySelector(`[data-key="${CSS.escape(key)}"]`)?.scrollIntoView({ block: "nearest" });
      });
    },
    onAct(event) {
      if (event.act === "select") {
        if (this.selected === event.key) return;
        this.selected = event.key;
      }
      this.$emit("act", event);
    },
    // Arrow keys: the nearest cell in that direction, by what is seen.
    move(direction) {
      const cells = [...this.$el.querySelectorAll(".cell")];
      if (!cells.length) return;
      const from = cells.find((cell) => cell.dataset.key === this.selected);
      if (!from) return this.focusCell(cells[0].dataset.key);
      const at = cells.indexOf(from);
      let to = null;
      if (direction === "left") to = cells[at - 1];
      else if (direction === "right") to = cells[at + 1];
      else {
        const here = from.getBoundingClientRect();
        const sign = direction === "down" ? 1 : -1;
        let best = Infinity;
        for (const cell of cells) {
          const there = cell.getBoundingClientRect();
          const down = sign * (there.top - here.top);
          if (down < here.height / 2) continue;
          const distance = down * 4 + Math.abs(there.left + there.width / 2 - here.left - here.width / 2);
          if (distance < best) [best, to] = [distance, cell];
        }
      }
      if (to) this.focusCell(to.dataset.key);
    },
    // A cell keeps its row and column when its neighbours are thrown out.
    at(row, column) {
      return { gridArea: `${row + 1} / ${column + 1}` };
    },
    ghosts(group) {
      return group.cells.filter((cell) => cell.front.state === "cancelled").length;
    },
    columns(group) {
      return group.grid ? { gridTemplateColumns: `max-content repeat(${group.grid.columns.length}, minmax(min(112px, var(--thumb-min)), calc(var(--thumb-min) * 1.6)))` } : null;
    },
  },
  template: `
  <div class="sheet-groups">
    <section v-for="group in own" :key="group.id" class="group" :aria-label="group.prompt">
      <header class="group-head">
        <h3 :title="group.prompt" dir="auto">{{ group.prompt }}</h3>
        <span class="group-facts" :title="group.facts">{{ group.facts }}</span>
        <button v-if="ghosts(group) > 1" class="small quiet" @click="$emit('act', { act: 'dismiss-group', key: group.id })">
          Dismiss {{ ghosts(group) }} cancelled</button>
        <button v-if="group.sheet" class="tool" @click="$emit('act', { act: 'save-sheet', key: group.id })"
          title="Save as one PNG" aria-label="Save this contact sheet as one PNG"><i class="icon icon-download"></i></button>
        <button class="tool" @click="$emit('act', { act: 'recall-group', key: group.id })"
          title="Recall these settings" aria-label="Recall these settings"><i class="icon icon-recall"></i></button>
      </header>
      <div v-if="group.grid" class="contact">
        <div class="contact-grid" :style="columns(group)">
          <b v-for="(label, column) in group.grid.columns" :key="'c' + label" class="contact-column" :style="at(0, column + 1)">{{ label }}</b>
          <b v-for="(label, row) in group.grid.rows" :key="'r' + label" class="contact-row" :style="at(row + 1, 0)">{{ label }}</b>
          <Cell v-for="(cell, index) in group.cells" :key="cell.key" :style="at(group.grid.places[index][0] + 1, group.grid.places[index][1] + 1)"
            :cell="cell" :ratio="group.ratio" :selected="cell.key === selected" :picked="pickedSet.has(cell.key)"
            :tabbable="cell.key === tabbableKey" :usable="usable" @act="onAct" />
        </div>
      </div>
      <div v-else class="cells">
        <Cell v-for="cell in group.cells" :key="cell.key" :cell="cell" :ratio="group.ratio" :selected="cell.key === selected"
          :picked="pickedSet.has(cell.key)" :tabbable="cell.key === tabbableKey" :usable="usable" @act="onAct" />
      </div>
    </section>
    <button v-if="hasMore" class="sheet-more" @click="$emit('act', { act: 'more' })">Show older pictures</button>
  </div>`,
};
