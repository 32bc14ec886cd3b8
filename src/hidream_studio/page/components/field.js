// A text field that keeps what is being typed to itself: an update from the server never takes a letter away.
export default {
  props: { value: String, label: String, rows: Number, placeholder: String, invalid: Boolean, describedby: String, width: String, inputmode: String },
  emits: ["text"],
  data() {
    return { text: this.value };
  },
  mounted() {
    this.grow();
  },
  methods: {
    typed(event) {
      this.text = event.target.value;
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
    :aria-invalid="invalid ? 'true' : null" :aria-describedby="describedby" spellcheck="false" maxlength="10000" @input="typed"></textarea>
  <input v-else ref="field" class="field" type="text" :value="text" :placeholder="placeholder" :aria-label="label" :inputmode="inputmode"
    :aria-invalid="invalid ? 'true' : null" :aria-describedby="describedby" autocomplete="off" spellcheck="false" maxlength="2000" @input="typed">`,
};
