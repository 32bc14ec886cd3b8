// While something lies over the page, the browser's Back takes that away, and not the page; the newest first.
export default {
  emits: ["back"],
  mounted() {
    this.layers = []; // names of what lies there, each with an entry of the history, which says how many they are
    this.popped = () => {
      const left = history.state?.over ?? 0;
      while (this.layers.length > left) this.$emit("back", this.layers.pop());
    };
    window.addEventListener("popstate", this.popped);
    if (history.state?.over) history.go(-history.state.over); // reloaded while something lay there
  },
  unmounted() {
    window.removeEventListener("popstate", this.popped);
  },
  methods: {
    // `where`: a selector of what lies over the page on a small screen only, and beside it on others
    over(name, lies, where) {
      if (lies === this.layers.includes(name)) return;
      if (lies && where && getComputedStyle(document.querySelector(where)).position !== "fixed") return;
      this.layers = this.layers.filter((other) => other !== name);
      if (!lies) return history.back();
      this.layers.push(name);
      history.pushState({ ...history.state, over: this.layers.length }, "");
    },
  },
  template: `<span hidden></span>`,
};
