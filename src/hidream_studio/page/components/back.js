// While something lies over the page, the browser's Back takes that away, and not the page.
export default {
  emits: ["back"],
  mounted() {
    this.mine = false; // whether the newest entry of the history is ours
    this.leaving = 0; // steps back that are ours, and mean nothing
    this.popped = () => {
      if (this.leaving > 0) this.leaving -= 1;
      else if (this.mine) {
        this.mine = false;
        this.$emit("back");
      }
    };
    window.addEventListener("popstate", this.popped);
    if (history.state?.over) this.leave(); // reloaded while something lay there
  },
  unmounted() {
    window.removeEventListener("popstate", this.popped);
  },
  methods: {
    over(lies) {
      if (lies === this.mine) return;
      this.mine = lies;
      if (lies) history.pushState({ ...history.state, over: true }, "");
      else this.leave();
    },
    leave() {
      this.leaving += 1;
      history.back();
    },
  },
  template: `<span hidden></span>`,
};
