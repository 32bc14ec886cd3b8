const MOST_IN_AREA = 100_000; // as state/compose.py keeps; NiceGUI's socket takes messages up to 1 MB
const MOST_IN_LINE = 2000;

// A text field that keeps what is being typed to itself: an update from the server never takes a letter away.
export default {
  props: { value: String, label: String, rows: Number, placeholder: String, invalid: Boolean, describedby: String, width: String, inputmode: String },
  emits: ["text", "refused"],
  data() {
    return { text: this.value };
  },
  mounted() {
    this.grow();
  },
  methods: {
    typed(event) {
      const typed = event.target.value;
      const most = this.rows ? MOST_IN_AREA : MOST_IN_LINE;
      if (typed.length > most) {
        event.target.value = this.text; // whole or not at all: nothing is cut off unseen
        const [is, may] = [typed.length, most].map((count) => count.toLocaleString("en-US"));
        this.$emit("refused", `That would be ${is} characters; this field takes ${may}. It stays as it was.`);
        return;
      }
      this.text = typed;
      this.grow();
      this.$emit("text", this.text);
    },
    set(text) {
      this.text = text;
      this.$nextTick(() => this.grow());
    },
    focusField() {
      this.$refs.field.focus();
      this.$refs.field.select?.();
    },
    grow() {
      if (!this.rows) return;
      const field = this.$refs.field;
      field.style.height = "auto";
      field.style.height = field.scrollHeight + 2 + "px";
    },
  },
  template: `
  <textarea v-if="rows" ref="field" class="field" :rows="rows" :value="text" :placeholder="placeholder" :aria-label="label"
    :aria-invalid="invalid ? 'true' : null" :aria-describedby="describedby" spellcheck="false" dir="auto" @input="typed"></textarea>
  <input v-else ref="field" class="field" type="text" :value="text" :placeholder="placeholder" :aria-label="label" :inputmode="inputmode"
    :aria-invalid="invalid ? 'true' : null" :aria-describedby="describedby" autocomplete="off" spellcheck="false" dir="auto" @input="typed">`,
};
