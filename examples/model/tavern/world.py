"""The world that the tavern stands in: people, places, goods and what they cost."""
from collections import namedtuple

from .phrasing import say

Item = namedtuple("Item", "key one many short kind price")   # "ale", "a mug of ale", "mugs of ale", "ales"


def _items():
    rows = """
    ale|a mug of ale|mugs of ale|ales|drink|2
    small beer|a mug of small beer|mugs of small beer|small beers|drink|1
    cider|a cup of cider|cups of cider|ciders|drink|3
    mead|a horn of mead|horns of mead|meads|drink|4
    red wine|a glass of red wine|glasses of red wine|red wines|drink|5
    brandy|a glass of brandy|glasses of brandy|brandies|drink|7
    milk|a cup of milk|cups of milk|milks|drink|1
    herb tea|a pot of herb tea|pots of herb tea|herb teas|drink|2
    bread|a loaf of bread|loaves of bread|loaves|food|1
    cheese|a wedge of cheese|wedges of cheese|cheeses|food|2
    soup|a bowl of soup|bowls of soup|soups|food|3
    stew|a bowl of stew|bowls of stew|stews|food|4
    porridge|a bowl of porridge|bowls of porridge|porridges|food|2
    sausage|a fat sausage|fat sausages|sausages|food|3
    meat pie|a meat pie|meat pies|meat pies|food|5
    roast chicken|a roast chicken|roast chickens|roast chickens|food|8
    trout|a smoked trout|smoked trout|trouts|food|6
    apple tart|an apple tart|apple tarts|apple tarts|food|3
    honey cake|a honey cake|honey cakes|honey cakes|food|2
    torch|a torch|torches|torches|goods|1
    candle|a candle|candles|candles|goods|1
    rope|a coil of rope|coils of rope|ropes|goods|6
    lantern|a lantern|lanterns|lanterns|goods|9
    map|a map|maps|maps|goods|8
    blanket|a wool blanket|wool blankets|blankets|goods|5
    waterskin|a waterskin|waterskins|waterskins|goods|4
    whetstone|a whetstone|whetstones|whetstones|goods|3
    dagger|a dagger|daggers|daggers|goods|12
    cloak|a warm cloak|warm cloaks|cloaks|goods|11
    fishing line|a fishing line|fishing lines|fishing lines|goods|2
    lockpick|a lockpick|lockpicks|lockpicks|goods|7
    healing potion|a healing potion|healing potions|healing potions|goods|15
    bag of oats|a bag of oats|bags of oats|bags of oats|goods|2
    common bed|a bed in the common room|beds in the common room|common beds|room|3
    small room|a small room|small rooms|small rooms|room|6
    large room|a large room|large rooms|large rooms|room|10
    bath|a hot bath|hot baths|baths|service|2
    stable|a stall in the stable|stalls in the stable|stalls|service|2
    """
    for row in rows.split("\n"):
        if row.strip():
            key, one, many, short, kind, price = row.strip().split("|")
            yield Item(key, one, many, short, kind, int(price))


# what guests say for it: one, several
ALIASES = {"ale": ("beer", "beers"), "red wine": ("wine", "wines"), "herb tea": ("tea", "teas"), "roast chicken": ("chicken", "chickens"), "meat pie": ("pie", "pies"),
           "trout": ("fish", "fish"), "honey cake": ("cake", "cakes"), "apple tart": ("tart", "tarts"), "healing potion": ("potion", "potions"), "dagger": ("knife", "knives"),
           "common bed": ("bed", "beds"), "small room": ("room", "rooms"), "brandy": ("whisky", "whiskies"), "bag of oats": ("bag of feed", "bags of feed")}

ITEMS = {i.key: i for i in _items()}
BY_KIND = {}
for _item in ITEMS.values():
    BY_KIND.setdefault(_item.kind, []).append(_item.key)
COUNTED = BY_KIND["drink"] + BY_KIND["food"] + BY_KIND["goods"]

NAMES = """Tom Anna Rolf Mira Jon Kara Pip Greta Osric Lena Hugo Wilma Finn Ada Gareth Isolde Bert Nora Cedric Elsa
Dunstan Freya Ivo Marta Aldric Rosa Quill Tilda Edgar Brenna Kester Willa Piers Maud Robin Sigrid Theo Una Viggo Ysolde
Anselm Beatrix Corin Della Emrys Fiona Gil Hanna Ingo Jessa Karl Linnet Milo Nessa Otto Petra Ralf Sunniva Tam Ursa
Vera Wat Yorick Zelda Alma Bram Clover Dorn Elric Fern Grim Hedda Ilse Jorun Knut Lotte Magnus Nils Olga Perrin
Raven Saskia Thorn Ulric Vesper Wren Max Sam Alex Kim Lucy Jack Emma Ben Sarah David Mary Peter Alice Bob Zoë Élise René
Jürgen André Søren""".split()
_HEADS = "Al Bar Bel Cal Dar Dor El Fal Gan Gor Hal Jar Kel Kor Lan Lor Mal Mor Nal Nor Or Per Quin Ral Ros Sel Sor Tal Tor Ul Val Vor Wil Yar Zan Zor Bri Cre Dri Fre Gri Ska Ste Tri".split()
_TAILS = "a an ara as dan den der din dor dra en eth fast gar grim ia ian ic iel ik in ina ira is ith la len lia lin lo mar mir na nar nia or os ra ran ric rin ron ta tha thas tin us va wen win wyn ya".split()


def person(rng):
    """A first name; every third one is made up, so that names must be copied, not known."""
    if rng.random() < 0.35:
        return rng.choice(_HEADS) + rng.choice(_TAILS)
    return rng.choice(NAMES)


TRADES = """knight|bard|hunter|merchant|monk|soldier|sailor|wizard|thief|healer|farmer|messenger|scholar|smith|pilgrim
|ranger|witch|miner|painter|juggler|tailor|cook|carpenter|fisherman|shepherd|mercenary|dwarf|elf""".replace("\n", "").split("|")
HOMES = """the north|the south|the coast|the mountains|the capital|the hills|Westmere|Ashford|Greyharbour|Thornwall
|Oxbridge|the islands|the old forest|Saltmarsh|Highcastle|Redwater|Winterfen|far away|over the sea""".replace("\n", "").split("|")

_ADJECTIVES = """Gilded Sleeping Rusty Merry Crooked Silver Drunken Lucky Dancing Broken Golden Laughing Red Green Black White
Blue Old Jolly Hungry Wandering Singing Weary Honest Howling Leaping Painted Salty Thirsty Velvet Whistling Stone""".split()
_NOUNS = """Goose Fox Dragon Barrel Lantern Boar Stag Badger Anchor Kettle Griffin Owl Pony Unicorn Raven Oak Bear
Mermaid Wolf Rooster Hare Trout Hammer Crown Shield Cat Giant Goblet Moon Plough Bell Boot""".split()
_PLACE_HEADS = "Alder Ash Birch Black Brook Clear Cold Dun Elder Fair Frost Green Hazel High Honey Iron Long Marsh Mill Moss North Oak Raven Red River Rose Salt Silver Stone Thorn West White Willow Winter Wolf".split()
_PLACE_TAILS = "brook bridge bury dale den fell field ford gate ham haven hill hollow holt mere mouth stead ton vale water wick wood".split()


def tavern_name(rng):
    return f"the {rng.choice(_ADJECTIVES)} {rng.choice(_NOUNS)}"


def village_name(rng):
    return rng.choice(_PLACE_HEADS) + rng.choice(_PLACE_TAILS)


MOODS = {
    "cheerful": (0.45, "{Ha!|Well met!|Splendid!|Aha!|Bless you!|Wonderful!|Oh, lovely!}",
                 "{Make yourself at home!|What a fine day!|You'll like it here!|Cheers!}"),
    "gruff": (0.45, "{Hmph.|Hrm.|Bah.|Right.|Aye, aye.|Well, then.}",
              "{That's all.|Now let me work.|Mind the floor, I just swept it.|Don't make trouble.|Anything else?}"),
    "sleepy": (0.45, "{*yawns*|Oh, hm?|Forgive me, it was a long night.|Mmm, yes.|*rubs eyes*}",
               "{I could sleep standing.|What a long day.|*yawns* Excuse me.|My bed is calling me.}"),
    "poetic": (0.45, "{Ah, hark!|By moon and star!|O weary friend!|As the poets say...|Sweet winds brought you here.}",
               "{So sings the hearth tonight.|Thus turns the wheel of days.|The fire hums along.|And the stars look on.}"),
    "gossiping": (0.45, "{Listen!|Just between us...|You did not hear it from me.|Well, well!|Oh my, oh my.}",
                  "{But I say nothing.|Don't tell a soul.|And that's the truth, mostly.|People do talk, you know.}"),
}


class Scene:
    """Who keeps which tavern where, in what mood, at what prices; and what has happened so far."""

    def __init__(self, rng, plain):
        self.rng = rng
        self.plain = plain                       # the tavern that the model knows by heart
        self.keeper = "Bram" if plain else person(rng)
        self.tavern = "the Sleeping Fox" if plain else tavern_name(rng)
        self.village = "Alderbrook" if plain else village_name(rng)
        self.mood = "cheerful" if plain else rng.choice(list(MOODS))
        self.prices = {k: i.price for k, i in ITEMS.items()}
        self.listed = False                      # prices stand in the system prompt: nothing else is sold
        self.tools = []                          # names of the tools that may be called
        self.guest = None                        # the guest's name, once told
        self.trade = None
        self.home = None
        self.bills = []                          # (what, coppers) not yet paid
        self.topic = None                        # what a "tell me more" would mean
        self.about = None
        self.last_item = None                    # what "I'll take it" would mean
        self.offer = None                        # (item, coppers) named in haggling
        self.known = set()                       # items whose price a tool has told
        self.result_style = rng.randrange(4)     # how this host's tools write their results

    def own_prices(self):
        """Prices that only the system prompt tells."""
        rng = self.rng
        keys = rng.sample(COUNTED, rng.randint(3, 6))
        if rng.random() < 0.7:
            keys += rng.sample(BY_KIND["room"], rng.randint(1, 2))
        self.prices = {k: (rng.randint(1, 12) if rng.random() < 0.85 else rng.randint(13, 20)) for k in keys}
        self.listed = True

    def menu(self, *kinds):
        return [k for k in self.prices if ITEMS[k].kind in kinds]

    def flavour(self, line):
        """The keeper's mood before or after what is said."""
        share, before, after = MOODS[self.mood]
        if self.rng.random() < share * 0.5:
            line = say(self.rng, before) + " " + line
        elif self.rng.random() < share * 0.4:
            line = line + " " + say(self.rng, after)
        return line

    def friend(self):
        """How the keeper calls the guest."""
        if self.guest and self.rng.random() < 0.6:
            return self.guest
        return self.rng.choice(["friend", "traveller", "my friend", "stranger" if not self.guest else "friend"])
