// The page's keys. None fires while somebody types, except Ctrl+Enter and Escape.
const KEYS = {
  " ": "pick", ".": "favourite", f: "finish", F: "finish-high", c: "compare", v: "new-seeds", r: "recall", s: "seed",
  x: "reject", X: "cancel", p: "use-picture", z: "full-size", "/": "search", "?": "help",
  ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down", Enter: "view",
};

export default {
  emits: ["key"],
  mounted() {
    this.listen = (event) => this.pressed(event);
    document.addEventListener("keydown", this.listen);
  },
  unmounted() {
    document.removeEventListener("keydown", this.listen);
  },
  methods: {
    pressed(event) {
      if (event.defaultPrevented || event.isComposing) return;
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        if (!event.repeat) this.$emit("key", "generate");
        return;
      }
      if (event.key === "Escape") {
        this.$emit("key", "escape");
        if (this.typing(event.target)) event.target.blur();
        return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey || this.typing(event.target)) return;
      if (document.querySelector("[data-modal]")) return; // a dialog or the viewer has its own keys
      const action = KEYS[event.key];
      if (!action) return;
      const pressesControl = (event.key === " " || event.key === "Enter") && event.target.closest("button, a, select, summary, [role=switch]");
      if (pressesControl) return;
      const arrow = ["left", "right", "up", "down"].includes(action);
      if (arrow && event.target.closest("select, [role=radiogroup], input")) return;
      event.preventDefault();
      if (event.repeat && !arrow) return;
      // these two act at once: the key that follows finds the next cell selected, the next letter the search field
      if (arrow) document.dispatchEvent(new CustomEvent("studio-move", { detail: action }));
      else if (action === "search") document.querySelector("[role=search] input")?.focus();
      else this.$emit("key", action);
    },
    typing(target) {
      if (!(target instanceof HTMLElement)) return false;
      if (target.isContentEditable || target.tagName === "TEXTAREA" || target.tagName === "SELECT") return true;
      return target.tagName === "INPUT" && target.type !== "range";
    },
  },
  template: `<span hidden></span>`,
};
