"""What one exchange is made of, and the look-ups that a tool may be asked for."""
import json

from .phrasing import say, tidy, typed_by_hand
from .world import ITEMS


class Step:
    """One message of the assistant: reasoning, words, calls; and what the tools answered."""

    def __init__(self, think, words="", calls=(), results=()):
        self.think, self.words, self.calls, self.results = think, words, list(calls), list(results)


class Turn:
    """A line of the guest and the keeper's steps up to an answer."""

    def __init__(self, scene, user, by_hand=True):
        self.scene = scene
        self.user = typed_by_hand(scene.rng, tidy(user)) if by_hand else user
        self.steps = []

    def answer(self, think, words, flavour=True):
        words = tidy(words)
        if flavour and self.scene.rng.random() < 0.5:
            words = tidy(self.scene.flavour(words))
        self.steps.append(Step(tidy(think), words))
        return self

    def call(self, think, calls, results):
        self.steps.append(Step(tidy(think), "", calls, results))
        return self


def price_result(scene, key):
    """The answer of look_up_price, in the one manner that this conversation's host has."""
    price = scene.prices.get(key)
    style = scene.result_style
    if price is None:
        return ["not found", "unknown item", '{"error": "not on the list"}', '{"item": "%s", "price": null}' % key][style]
    return [f"{price}", f"{price} coppers" if price != 1 else "1 copper", json.dumps({"price": price}),
            json.dumps({"item": key, "price": price})][style]


def looks_up(scene, keys):
    """The items whose price this keeper does not know before asking the tool."""
    if "look_up_price" not in scene.tools:
        return []
    return [k for k in dict.fromkeys(keys) if k not in scene.known]


def look_up(turn, keys):
    """Adds the step that asks for the prices, if any must be asked for."""
    scene, rng = turn.scene, turn.scene.rng
    missing = looks_up(scene, keys)
    if not missing:
        return
    names = " and ".join([", ".join(missing[:-1]), missing[-1]] if len(missing) > 1 else missing)
    think = say(rng, "{I do not know the price of $x yet. I will look it up.|I need the price of $x. I look it up first.|"
                     "The guest asks about $x. Let me look up the price.|First I look up $x.}", x=names)
    turn.call(think, [("look_up_price", {"item": k}) for k in missing], [price_result(scene, k) for k in missing])
    scene.known.update(missing)


def source(scene, key):
    """How the reasoning says where a price comes from."""
    rng, price = scene.rng, scene.prices[key]
    if "look_up_price" in scene.tools:
        return say(rng, "{The list says $k is $p.|$k is $p.|$k costs $p.}", k=key, p=price)
    if scene.listed:
        return say(rng, "{My list has $k at $p.|$k is $p today.|$k costs $p here.}", k=key, p=price)
    return say(rng, "{$k is $p.|$k costs $p.|I sell $k for $p.}", k=key, p=price)


def one(key):
    return ITEMS[key].one
