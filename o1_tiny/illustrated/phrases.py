"""The words that captions and edits are made of. Plain tables; knows no scenes."""

from __future__ import annotations

OTHER_NAMES = {"gray": "grey", "purple": "violet", "cyan": "turquoise"}
NOUNS = {  # the first one most often
    "house": ("house", "house", "cottage", "cabin"), "woman": ("woman", "woman", "girl", "lady"), "man": ("man",),
    "balloon": ("balloon", "hot air balloon", "hot-air balloon"), "boat": ("boat", "sailing boat", "sailboat", "ship"),
    "windmill": ("windmill", "windmill", "mill"), "palm": ("palm tree", "palm"), "pines": ("pine trees", "pines",
        "fir trees"),
    "birds": ("birds", "flying birds", "a flock of birds"), "tree": ("tree",),
}  # fmt: skip
PLURALS = {
    "house": "houses",
    "woman": "women",
    "man": "men",
    "lady": "ladies",
    "church": "churches",
    "cactus": "cactuses",
}
WHERE = {
    "left": ("on the left", "on the left", "on the left side", "to the left"), "right": ("on the right",
        "on the right", "on the right side", "to the right"),
    "center": ("in the middle", "in the center", "in the centre"),
}  # fmt: skip
NEAR, FAR = ("in the foreground", "up close", "in front"), ("in the distance", "far away", "in the background")
PLACE_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # how it is called; what joins a thing to it
    "mountains": (("mountains", "the mountains", "a mountain landscape", "mountain peaks", "high mountains",
        "rocky mountains", "snow-capped mountains", "snowy mountains"), ("in front of", "below", "in", "under")),
    "hills": (("hills", "rolling hills", "green hills", "a green valley", "the countryside", "meadows", "a meadow",
        "fields"), ("in", "in")),
    "forest": (("a forest", "a pine forest", "the forest", "the woods", "a forest clearing"), ("in",)),
    "desert": (("a desert", "the desert", "a sandy desert", "desert dunes", "sand dunes"), ("in",)),
    "sea": (("the sea", "the ocean", "a calm sea", "the open sea", "the coast", "the blue sea"), ("by", "at", "near",
        "on")),
    "lake": (("a lake", "a mountain lake", "a calm lake", "a still lake", "the lake", "a lake with reflections"),
        ("by", "at", "on", "near")),
    "village": (("a village", "a small village", "a little town", "the village", "a cosy village", "a cozy village",
        "a quiet village"), ("in",)),
    "street": (("a street", "a city street", "the street", "a town street", "an alley", "downtown"), ("in", "on")),
    "city": (("a city skyline", "a city", "a skyline", "a city by the river", "a city by the water", "a big city"),
        ("in front of", "near")),
    "flowers": (("a flower field", "a field of flowers", "tulip fields", "flower fields", "a tulip field"), ("in",
        "by")),
    "island": (("an island", "a tropical island", "a small island", "a desert island", "an island in the sea"),
        ("on", "by")),
    "space": (("the moon", "a strange planet", "space", "outer space", "another planet", "an alien planet"), ("on",
        "in")),
}  # fmt: skip
TIMES = {
    "day": ("by day", "in the daytime", "on a sunny day", "at noon", "during the day", "in daylight"),
    "dawn": ("at dawn", "at dawn", "at sunrise", "in the early morning", "in the morning"),
    "sunset": ("at sunset", "at sunset", "at sunset", "in the evening sun", "in golden light", "at golden hour"),
    "dusk": ("at dusk", "at dusk", "at twilight", "in the evening", "at blue hour"),
    "night": ("at night", "at night", "at night", "by night", "in the night"),
}  # fmt: skip
SKIES = {  # behind a comma or at the end; before a place's name
    "foggy": (("in the fog", "in thick fog", "in the mist", "fog", "mist"), ("foggy", "misty")),
        "rainy": (("in the rain", "in heavy rain", "rain"), ("rainy", "rainy")),
    "snowy": (("in falling snow", "snowing", "snowfall"), ("snowy",)), "cloudy": (("with clouds",
        "under a cloudy sky", "clouds"), ("cloudy",)),
    "clear": (("under a clear sky", "clear sky", "cloudless sky"), ()),
}  # fmt: skip
MOODS = (
    "peaceful",
    "atmospheric",
    "beautiful",
    "flat illustration",
    "vector illustration",
    "illustration",
    "poster",
    "minimalist",
    "wide shot",
    "cinematic",
)
OWN_MOODS = {
    "foggy": ("moody", "mysterious", "dreamy"), "rainy": ("moody", "melancholic", "gloomy"), "dawn": ("warm light",
        "dreamy", "golden"),
    "sunset": ("warm light", "dramatic sky", "dramatic", "golden"), "night": ("moody", "quiet", "dark"),
        "day": ("bright", "cheerful", "sunny"),
}  # fmt: skip
STYLES = ("an illustration of ", "a picture of ", "a painting of ", "a drawing of ", "an image of ", "draw ")
SIGN_FORMS = (
    '{} that says "{}"',
    '{} that says "{}"',
    '{} saying "{}"',
    '{} reading "{}"',
    '{} that reads "{}"',
    '{} "{}"',
    '{} with the word "{}"',
    '{} with "{}" on it',
)
