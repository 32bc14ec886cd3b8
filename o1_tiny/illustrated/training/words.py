"""Every word of captions and edits: one token each, in this order, so that ids stay what they are."""

WORDS = """
a above add air alien alley an and another as at atmospheric autumn away background balloon balloons beach beam
beautiful below big birds black blossoming blue boat boats bright brown by cabin cabins cactus cactuses calm capped
carrying castle castles cat cats center centre change cheerful church churches cinematic circle city clear clearing
cliff close cloudless clouds cloudy coast coat color come cosy cottage cottages countryside cozy crescent cyan dark dawn
day daylight daytime delete desert distance distant downtown dramatic draw drawing dreamy dress dunes during dusk early
evening falling far field fields fins fir first flat flock flower flowers flying fog foggy foot foreground forest from
front full girl girls gloomy glowing golden gray green grey heavy high hills holding hot hour house houses hull
illustration image in into island it jacket lady ladies lake landscape large left let light lighthouse lighthouses
little looks low make man meadow meadows melancholic men middle mill mills minimalist mirrored mist misty moody moon
moonlight morning mountain mountains move mysterious near neon night noon now ocean of on one open orange outer over
paint painting pair palm palms peaceful peaks picture pine pines pink place planet poster purple put pyramids quiet rain
rainy reading reads red reflection reflections remove replace right river road rock rocket rockets rocks rocky roll
rolling roof roofs round sail sailboat sailboats sailing sails same sand sandy say saying says sea seaside second ship
ships shot should side sign sky skyline small snow snowfall snowing snowy space square star starry stars still stop
strange street stripe striped stripes sun sunny sunrise sunset sunshine take tent tents text that the there thick this
time tiny to tower towers town tree trees triangle tropical tulip turn turquoise twilight two umbrella under up valley
vector village violet warm water wet white wide windmill windmills winter with without woman women woods word write
yellow
""".split()
