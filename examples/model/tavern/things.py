"""Things that the tavern does not have, and words that its world does not know: to be repeated, not to be learnt."""

UNSOLD = """anvil|apron|arrow|axe|backpack|bagpipe|banana|banner|basket|bathtub|beer hat|bell|belt|bicycle|bomb|bonnet|book|boot
|bottle|bow|bowl|box|bracelet|broom|brush|bucket|burger|button|cabbage|cage|camel|candlestick|cannon|canoe|cape|card
|carpet|carrot|cart|castle|cauldron|chain|chair|chariot|cheeseburger|chess set|chicken coop|chisel|chocolate|clock|coat
|cobweb|coconut|coffee|comb|compass|cookie|cradle|crossbow|crown|crystal ball|cupboard|curtain|cushion|diamond
|dictionary|doll|donkey|door|dragon egg|dress|drum|duck|eggplant|elephant|emerald|engine|fan|feather|fence|fiddle|flag
|flower|flute|flying carpet|fork|fountain|fridge|frog|frying pan|garlic|gate|gauntlet|giant's toe|glove|goblet
|golden harp|grape|guitar|gun|hammer|hammock|hat|hatchet|hawk|helmet|hoe|horn|horse|horseshoe|hourglass|house|ice cream
|ink|iron bar|ivory comb|jacket|jar|javelin|jewel|jug|kebab|kettle|key|kite|kitten|knocker|ladder|laptop|lasso|lemon
|letter|lute|magic ring|magic sword|magic wand|magnet|mandolin|marble|mask|mattress|melon|microphone|mirror|mitten
|monkey|motorbike|mouse trap|nail|necklace|needle|net|newspaper|noodle soup|onion|orange|organ|ostrich|owl|oyster
|padlock|painting|palace|pan|paper|parrot|pear|pearl|pen|pencil|pepper|perfume|phoenix feather|phone|piano|pickaxe
|pickle|pig|pillow|pineapple|pitchfork|pizza|plate|poison|pony|potato|printer|pumpkin|puppet|quill|quiver|radio|raft
|rat|razor|ribbon|rice|ring|robe|robot|rocket|roller skate|ruby|saddle|salad|salmon|sandwich|sapphire|saucepan|saw
|scarf|scissors|scroll|scythe|shawl|sheep|shield|ship|shirt|shoe|shovel|shrine|sickle|silk dress|skeleton key|skirt
|sled|sleeping bag|slipper|smartphone|snail|soap|sock|sofa|spaceship|spear|spellbook|spice|spoon|staff|stamp|statue
|steak|stick|stocking|stone|stool|strawberry|submarine|sugar|suitcase|sushi|sword|table|tambourine|taxi|teapot
|telescope|tent|throne|ticket|tiger|toaster|tomato|tool box|toothbrush|towel|train|treasure chest|trident|trousers
|trumpet|turnip|typewriter|umbrella|unicorn|vase|vest|violin|wagon|wand|warhorse|watch|weapon|wheel|wheelbarrow|whip
|whistle|wig|window|witch hat|wizard staff|yacht|yoke|zebra|zither"""
UNSOLD = UNSOLD.replace("\n", "").split("|")

STRANGE = """computers|football|the internet|electricity|the stock market|quantum physics|television|airplanes|Paris|London|America|Python
|JavaScript|Bitcoin|politics|cars|the moon landing|vaccines|robots|dinosaurs|chess|Einstein|Shakespeare|video games|the president
|trains|pop music|black holes|climate change|algebra|Berlin|Japan|machine learning|the French Revolution|photosynthesis|DNA|the periodic table
|movies|basketball|calculus|neural networks|Rome|tea bags|sushi|skateboards|volcanoes|penguins|satellites|democracy|philosophy|yoga|the Olympics
|rock music|cinema|economics|Africa|China|India|Mexico|Brazil|Russia|New York|Tokyo|Google|Microsoft|Linux|the iPhone|tanks|submarines|X-rays
|gravity|atoms|evolution|psychology|the Beatles|Mozart|Beethoven|Picasso|Newton|Napoleon|Caesar|Cleopatra|Columbus|coffee|pizza|tomatoes
|guitars|motorcycles|nuclear power|solar panels|wind turbines|the Titanic|Mars|Jupiter|the Pacific|the Sahara|Everest|antibiotics|bacteria
|prime numbers|geometry|statistics|GPUs|tokenizers|language models|compilers|databases|Rust|Haskell|C++|Java|HTML|email|Twitter|YouTube"""
STRANGE = STRANGE.replace("\n", "").split("|")

_BEGIN = "bl cr d dr f fl g gr h j k kr l m n p pr qu r s sk sn st t tr v w y z sh ch".split()
_MIDDLE = "a e i o u oo ee ai ar or im an el ob uk".split()
_END = "b bo dle fex g gle k kin ll m mot n nix p ra s sta t tle vi x za zle wick dor".split()


def made_up(rng):
    """A word that nobody has seen."""
    word = rng.choice(_BEGIN) + rng.choice(_MIDDLE) + rng.choice(_END)
    return word + rng.choice(_MIDDLE) + rng.choice(_END) if rng.random() < 0.3 else word


def unsold(rng):
    return made_up(rng) if rng.random() < 0.25 else rng.choice(UNSOLD)


def strange(rng):
    r = rng.random()
    return made_up(rng) if r < 0.2 else rng.choice(UNSOLD) + "s" if r < 0.35 else rng.choice(STRANGE)
