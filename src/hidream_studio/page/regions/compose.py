"""The left column: what to draw, and what that will cost. Every price on it is told before the click."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from nicegui.events import GenericEventArguments

from hidream_studio.errors import RequestError, StudioError
from hidream_studio.job.job import RANDOM_SEED_BITS
from hidream_studio.job.profiles import Preset, Recipe
from hidream_studio.page import words
from hidream_studio.page.components import Field
from hidream_studio.page.dom import Tag, icon_button
from hidream_studio.page.regions.loras import LorasRegion
from hidream_studio.page.regions.pictures import OF_PICTURES, PicturesRegion
from hidream_studio.page.state.compose import MAX_COUNT, Plan, base_preset, in_shape, plan, with_preset
from hidream_studio.page.state.fields import sizes_of
from hidream_studio.page.state.guard import explain
from hidream_studio.page.state.session import Session
from hidream_studio.service.views import Estimate

_SHAPES = (("1:1", 1.0), ("4:3", 4 / 3), ("3:2", 3 / 2), ("16:9", 16 / 9))

_SAMPLERS: dict[Recipe | None, tuple[tuple[str, str], ...]] = {  # None: any recipe
    None: (("", "Sampler of the recipe"),),
    "full": (("unipc", "UniPC"), ("euler", "Euler: steadier at few steps")),
    "dev": (("flash", "Flash: of the dev recipe"), ("flow_match", "Flow match: of the dev recipe, for edits")),
}
_NOISES = (
    ("linked", "Linked: one seed, about the same layout at other sizes"),
    ("upstream", "Upstream's, drawn at each size"),
)


class Compose:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._run = session.run
        with Tag("aside", classes="compose", aria_label="Compose"):
            with Tag("div", classes="compose-scroll"):
                self._draw_prompts()
                self._pictures = PicturesRegion(session)
                self._draw_presets()
                self._draw_size()
                self._draw_numbers()
                self._loras = LorasRegion(session)
                self._draw_more()
                self._draw_also()
                self._live = self._switch("Live: draw a draft when I stop typing", "live")
            self._draw_go()
        session.on.compose.add(self._rewrite)
        session.on.typed.add(self.draw_prices)
        session.on.worker.add(self.draw_prices)
        session.on.prices.add(self.draw_prices)
        self._paused = False
        session.on.queue.add(self._queue_changed)
        self._rewrite()
        self.draw_prices()

    # building

    def _draw_prompts(self) -> None:
        state = self._session.column.state
        with Tag("div"):
            Tag("div", "Prompt", "label")
            self.prompt = Field(
                state.prompt,
                label="Prompt",
                rows=4,
                placeholder="What do you want to see?",
                on_text=self._typed("prompt"),
                on_refused=self._session.say,
            )
        with Tag("details", classes="more", open=True if state.negative else None) as self._negative_box:
            Tag("summary", "Negative prompt")
            self._negative = Field(
                state.negative,
                label="Negative prompt",
                rows=2,
                placeholder="What to keep away from",
                on_text=self._typed("negative"),
                on_refused=self._session.say,
            )

    def _draw_presets(self) -> None:
        self._presets: dict[str, tuple[Tag, Tag]] = {}
        with Tag("div"):
            with Tag("div", classes="presets", role="radiogroup", aria_label="Preset"):
                for preset in self._session.profile.presets:
                    made = Tag("button", role="radio", on_click=self._choose_preset(preset), title=preset.purpose)
                    with made:
                        Tag("span", preset.name.split()[0])
                        price = Tag("span", "", "estimate")
                    self._presets[preset.id] = (made, price)
            self._purpose = Tag("p", "", "hint", style="margin-top:6px")

    def _draw_size(self) -> None:
        with Tag("div"):
            with Tag("div", classes="label"):
                Tag("span", "Size")
                with Tag("span", classes="shapes"):
                    for name, ratio in _SHAPES:
                        Tag(
                            "button",
                            name,
                            on_click=self._choose_shape(ratio),
                            aria_label=f"Shape {name}",
                            title=f"Shape {name}",
                        )
                    icon_button("swap", "Swap width and height", self._swap_sides, "")
            self._size = Field(
                "",
                label="Size, width × height in pixels; a list sweeps",
                on_text=self._typed("size"),
                on_refused=self._session.say,
                describedby="size-hint",
            )
            self._size_hint = Tag("p", "", "hint", id="size-hint", style="margin-top:5px")
        self._snap = self._switch(words.SNAP, "snap")

    def _draw_numbers(self) -> None:
        with Tag("div", classes="row"):
            self._steps = self._number("Steps", "steps", "Steps; a list sweeps")
            self._guidance = self._number("Guidance", "guidance", "Guidance scale; a list sweeps")
        with Tag("div"):
            Tag("div", "Seed", "label")
            with Tag("div", classes="with-button"):
                self._seed = Field(
                    "",
                    label="Seed; empty for random ones, a list sweeps",
                    placeholder="random",
                    on_text=self._typed("seed"),
                    on_refused=self._session.say,
                )
                icon_button("dice", "Roll a seed", self._roll, "")
                icon_button(
                    "close",
                    "Random seeds",
                    lambda: self._session.column.write(self._session.column.state.changed(seed="")),
                    "tool",
                )

    def _number(self, name: str, field: str, label: str) -> Field:
        with Tag("div"):
            Tag("div", name, "label")
            return Field("", label=label, on_text=self._typed(field), on_refused=self._session.say)

    def _draw_more(self) -> None:
        with Tag("details", classes="more"):
            Tag("summary", "Sampler and noise")
            with Tag("div", classes="more-body"):
                recipes = self._session.profile.recipes
                samplers = [one for recipe, some in _SAMPLERS.items() if recipe in (None, *recipes) for one in some]
                self._sampler = self._select("Sampler", samplers, "sampler")
                self._noise = self._select("Noise", _NOISES, "noise")

    def _draw_also(self) -> None:
        """What a recalled picture asks for beyond the fields above, and the way to be rid of it."""
        with Tag("div", classes="with-button") as self._also:
            self._also_text = Tag("p", "", "hint")
            icon_button(
                "close",
                "The model's own instead",
                lambda: self._session.column.write(self._session.column.state.changed(also={})),
                "tool",
            )

    def _select(self, name: str, options: Sequence[tuple[str, str]], field: str) -> Tag:
        select = Tag("select", aria_label=name)
        with select:
            for value, text in options:
                Tag("option", text, value=value)

        def changed(event: GenericEventArguments) -> None:
            select._props["value"] = event.args
            self._session.column.type(**{field: event.args or None})

        select.on("change", changed, js_handler="(e) => emit(e.target.value)")
        return select

    def _switch(self, text: str, field: str) -> Tag:
        def toggle() -> None:
            on = not getattr(self._session.column.state, field)
            made.set(aria_checked="true" if on else "false")
            self._session.column.type(**{field: on})

        made = Tag("button", text, "switch", role="switch", aria_checked="false", on_click=toggle)
        return made

    def _draw_go(self) -> None:
        with Tag("div", classes="compose-go"):
            with Tag("div", classes="generate-row"):
                with Tag("div", classes="stepper", role="group", aria_label="How many pictures"):
                    icon_button("minus", "One fewer", self._count_by(-1), "")
                    self._count = Tag("output", "")
                    icon_button("plus", "One more", self._count_by(1), "")
                self._generate = Tag(
                    "button",
                    None,
                    "primary generate",
                    on_click=self._run(self._session.column.generate),
                    title="Ctrl+Enter",
                )
                with self._generate:
                    self._generate_text = Tag("span", "Generate")
                    self._generate_price = Tag("span", "", "estimate")
            self._why = Tag("p", "", "hint", role="status")

    # handling

    def _typed(self, field: str) -> Callable[[str], None]:
        def typed(text: str) -> None:
            self._session.column.type(**{field: text})

        return typed

    def _choose_preset(self, preset: Preset) -> Callable[[], None]:
        return lambda: self._session.column.write(with_preset(self._session.column.state, preset))

    def _first_size(self) -> tuple[int, int]:
        preset = base_preset(self._session.column.state, self._session.profile)
        try:
            return (sizes_of(self._session.column.state.size) or ((preset.width, preset.height),))[0]
        except RequestError:
            return preset.width, preset.height

    def _choose_shape(self, ratio: float) -> Callable[[], None]:
        def choose() -> None:
            preset = base_preset(self._session.column.state, self._session.profile)
            width, height = self._first_size()
            upright = height > width
            shaped = in_shape(preset.width, preset.height, 1 / ratio if upright else ratio)
            self._session.column.write(self._session.column.state.changed(size=words.size(*shaped)))

        return choose

    def _swap_sides(self) -> None:
        width, height = self._first_size()
        self._session.column.write(self._session.column.state.changed(size=words.size(height, width)))

    def _roll(self) -> None:
        self._session.column.write(self._session.column.state.changed(seed=str(secrets.randbits(RANDOM_SEED_BITS))))

    def _count_by(self, change: int) -> Callable[[], None]:
        def count() -> None:
            state = self._session.column.state
            self._session.column.write(state.changed(count=min(max(state.count + change, 1), MAX_COUNT)))

        return count

    # drawing

    def _rewrite(self) -> None:
        """Every control as the state has it."""
        self._pictures.draw()
        state = self._session.column.state
        self.prompt.set(state.prompt)
        self._negative.set(state.negative)
        self._size.set(state.size)
        self._steps.set(state.steps)
        self._guidance.set(state.guidance)
        self._seed.set(state.seed)
        self._snap.set(aria_checked="true" if state.snap else "false")
        self._live.set(aria_checked="true" if state.live else "false")
        self._loras.rewrite()
        self._sampler.set(value=state.sampler or "")
        self._noise.set(value=state.noise)
        if state.negative:
            self._negative_box.set(open=True)
        for preset_id, (made, _) in self._presets.items():
            made.set(aria_checked="true" if preset_id == state.preset else "false")
        self._purpose.set_text(base_preset(state, self._session.profile).purpose if state.preset else "")
        said = ", ".join(f"{words.field(name)} {value}" for name, value in state.also.items())
        self._also_text.set_text(f"From the recalled picture: {said}")
        self._also.show(bool(state.also))

    def draw_prices(self) -> None:
        self._count.set_text(f"× {self._session.column.state.count}")
        for preset in self._session.profile.presets:
            self._presets[preset.id][1].set_text(self._preset_price(preset))
        try:
            wanted = self._session.column.plan(for_price=True)
            priced = self._session.column.price(wanted)
        except StudioError as error:
            self._show_error(error)
            return
        for field in (self._size, self._steps, self._guidance, self._seed, self.prompt, self._negative):
            field.mark_invalid(False)
        self._show_size(priced.sizes)
        self._pictures.draw_notes(priced.sizes)
        self._generate_text.set_text(f"Generate {wanted.pictures}" if wanted.pictures > 1 else "Generate")
        self._generate_price.set_text(words.about(priced.seconds))
        self._show_why(wanted)

    def _queue_changed(self) -> None:
        """Queues change many times a second; only a pause changes what Generate says."""
        paused = bool(self._session.studio.queue_summary().paused)
        if paused != self._paused:
            self.draw_prices()
        self._paused = paused

    def _preset_price(self, preset: Preset) -> str:
        session = self._session
        try:
            state = with_preset(session.column.state.changed(seed=""), preset)
            wanted = plan(state, session.profile, random_seed=0, prompt="a picture")
            return words.about(session.studio.estimate(wanted.request).seconds)
        except StudioError:
            return ""

    def _show_error(self, error: StudioError) -> None:
        fields = {
            "size": self._size, "sizes": self._size, "width": self._size, "height": self._size, "steps": self._steps,
            "guidance": self._guidance, "guidance_scale": self._guidance, "seed": self._seed, "seeds": self._seed,
            "prompt": self.prompt, "negative_prompt": self._negative,
        }  # fmt: skip
        wrong = fields.get(error.field or "")
        for field in set(fields.values()):
            field.mark_invalid(field is wrong)
        in_size, in_pictures = wrong is self._size, (error.field or "").split(".")[0] in OF_PICTURES
        self._size_hint.set_text(explain(error) if in_size else "")
        self._size_hint.set_class("bad", in_size)
        self._pictures.draw_error(explain(error) if in_pictures else "")
        self._why.set_text("" if in_size or in_pictures else explain(error))
        self._why.set_class("bad", True)
        self._generate_text.set_text("Generate")
        self._generate_price.set_text("")

    def _show_size(self, estimates: Sequence[Estimate]) -> None:
        """What the size becomes, where that is not what was asked."""
        changed = [one for one in estimates if (one.width, one.height) != (one.requested_width, one.requested_height)]
        pairs = dict.fromkeys(
            f"{words.size(one.requested_width, one.requested_height)} becomes {words.size(one.width, one.height)}"
            for one in changed
        )
        warnings = dict.fromkeys(note.why for one in estimates for note in one.adjustments if note.field == "size")
        text = "; ".join(pairs) or next((why[:1].upper() + why[1:] for why in warnings), "")
        self._size_hint.set_text(f"{text}." if text and not text.endswith(".") else text)
        self._size_hint.set_class("bad", False)

    def _show_why(self, wanted: Plan) -> None:
        """Under the button: what a sweep multiplies to, or why Generate would wait."""
        health = self._session.studio.health()
        text = ""
        if wanted.axes:
            parts = [f"{len(axis.values)} {axis.name}" for axis in wanted.axes]
            parts += [words.count(len(wanted.seeds), "seed")] if len(wanted.seeds) > 1 else []
            text = f"Contact sheet: {' × '.join(parts)}"
        if health.phase == "failed":
            text = "The model could not be loaded; nothing can be drawn."
        elif not health.ready:
            text = f"Waits for the model: {health.phase}."
        elif self._session.studio.queue_summary().paused:
            text = "The queue is paused; new pictures wait."
        self._why.set_text(text)
        self._why.set_class("bad", health.phase == "failed")
        self._generate.set(disabled=True if health.phase == "failed" else None)
