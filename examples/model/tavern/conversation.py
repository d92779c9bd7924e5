"""Whole documents: conversations with and without a system prompt, tools and reasoning; and plain tales."""
import random

from . import bargains, chatml, guests, lore, tales, trade
from .phrasing import say
from .world import ITEMS, Scene

# (share, exchange); what does not fit the moment returns None and is drawn again
EXCHANGES = [
    (5, trade.ask_price), (3, trade.ask_have), (2, trade.ask_two_prices), (1, trade.extreme), (2, trade.ask_price_of_several), (5, trade.menu), (3, trade.rooms_list), (4, trade.take_room), (9, trade.order),
    (3, trade.missing_item), (2, bargains.compare), (2.5, bargains.afford), (2.5, bargains.how_many), (3, bargains.recommend), (2.5, bargains.haggle),
    (2, bargains.sell_to_keeper), (1.5, bargains.split_bill), (3, bargains.plain_sum), (2, bargains.party),
    (4, lore.ask_person), (3.5, lore.ask_place), (2, lore.ask_service), (4.5, lore.ask_keeper), (6, lore.small_talk), (6, lore.off_topic),
    (4.5, tales.rumour), (4.5, tales.quest), (3, tales.story), (2.5, tales.riddle), (2, tales.song), (2, tales.joke), (2.5, tales.advice), (2, tales.dice),
    (2.5, guests.introduce), (2, guests.recall), (2, guests.thanks), (2, guests.farewell), (2, guests.greet),
]
TOOL_EXCHANGES = [(6, trade.ask_price), (3, trade.ask_have), (2, trade.ask_two_prices), (2, trade.ask_price_of_several), (5, trade.order), (2, bargains.compare), (2, bargains.afford), (2, trade.missing_item), (1, trade.take_room)]
FOLLOW_UPS = [(6, trade.take_last), (5, trade.pay), (3, trade.owe), (4, tales.more), (6, tales.quest_more), (8, tales.riddle_guess), (9, bargains.accept_offer)]

SHORT = (trade.ask_price, trade.order, trade.ask_have, lore.ask_person, lore.ask_place, lore.ask_service, lore.ask_keeper, guests.recall, tales.rumour, tales.quest, bargains.plain_sum)
PARTING = (guests.farewell, guests.thanks, guests.recall)


def _draw(rng, table):
    r = rng.random() * sum(w for w, _ in table)
    for w, f in table:
        r -= w
        if r < 0:
            return f
    return table[-1][1]


def tool_list(scene):
    """The tools' definitions, as some host may word them."""
    rng = scene.rng
    tools = []
    for name in scene.tools:
        if name == "look_up_price":
            does = say(rng, "{Look up the price of an item.|Looks up what an item costs, in coppers.|The price of one item of the tavern's list.|Price of an item in coppers}")
            args = {"item": {"type": "string"}}
            if rng.random() < 0.5:
                args["item"]["description"] = say(rng, "{Name of the item|The item|The item's name, for example ale}")
            need = ["item"]
        else:
            does = say(rng, "{Roll a die.|Rolls one die with the given number of sides.|Throw a die|A random number from 1 to sides}")
            args = {"sides": {"type": "integer"}}
            if rng.random() < 0.5:
                args["sides"]["description"] = say(rng, "{Number of sides|How many sides the die has}")
            need = ["sides"]
        tools.append({"type": "function", "function": {"name": name, "description": does, "parameters": {"type": "object", "properties": args, "required": need}}})
    return tools


def system_prompt(scene):
    """What the host tells about the keeper; None for nothing."""
    rng = scene.rng
    if scene.plain:
        if rng.random() < 0.75:
            return None
        return say(rng, "{You are a tavern keeper.|You are Bram, keeper of the Sleeping Fox.|You are the keeper of the Sleeping Fox in Alderbrook.|You are Bram, a tavern keeper. Stay in character.|You are a helpful tavern keeper.|You are a helpful assistant.|Answer as the keeper of a tavern.}")
    k, t, v = scene.keeper, scene.tavern, scene.village
    text = say(rng, "{You are $k, keeper of $t in $v.|You are $k. You keep $t, a tavern in $v.|Your name is $k. Your tavern is $t in the village of $v.|You play $k, who runs $t in $v.}", k=k, t=t, v=v)
    mood = say(rng, "{ You are $m.| Your mood is $m.| Be $m.}", m=scene.mood)
    text += mood
    if scene.listed:
        style = rng.randrange(3)
        if style == 0:
            text += " Prices: " + ", ".join(f"{i} {p}" for i, p in scene.prices.items()) + "."
        elif style == 1:
            text += " You sell " + ", ".join(f"{i} for {p}" for i, p in scene.prices.items()) + "."
        else:
            text += "\nPrices in coppers:\n" + "\n".join(f"- {i}: {p}" for i, p in scene.prices.items())
    return text


def new_scene(rng):
    r = rng.random()
    scene = Scene(rng, plain=r < 0.6)
    if rng.random() < 0.16:
        scene.tools = rng.choice([["look_up_price"], ["roll_dice"], ["look_up_price", "roll_dice"], ["roll_dice", "look_up_price"]])
    if "look_up_price" in scene.tools:
        scene.prices = {k: (rng.randint(1, 12) if rng.random() < 0.85 else rng.randint(13, 20)) for k in ITEMS if k not in ("bath", "stable") or rng.random() < 0.7}
        for k in rng.sample(list(scene.prices), 6):
            del scene.prices[k]
    elif not scene.plain and rng.random() < 0.75:
        scene.own_prices()
    return scene


def next_turn(scene, first):
    rng = scene.rng
    for _ in range(50):
        if first and rng.random() < 0.25:
            f = guests.greet
        elif rng.random() < 0.45:
            f = _draw(rng, FOLLOW_UPS)
        elif "roll_dice" in scene.tools and rng.random() < 0.3:
            f = tales.dice
        elif "look_up_price" in scene.tools and rng.random() < 0.5:
            f = _draw(rng, TOOL_EXCHANGES)
        else:
            f = _draw(rng, EXCHANGES)
        if f is guests.greet and not first or f in PARTING and first:
            continue
        turn = f(scene)
        if turn is not None and turn.steps:
            if first and f is not guests.greet and rng.random() < 0.2:
                return guests.greet_as_well(scene, turn)
            return _two_in_one(scene, turn, f) if f in SHORT and rng.random() < 0.1 else turn
    return guests.thanks(scene)


def _two_in_one(scene, turn, asked):
    """A second request in the same breath, answered in the same breath."""
    if len(turn.steps) > 1:
        return turn
    second = scene.rng.choice([f for f in SHORT if f is not asked])(scene)
    if second is None or len(second.steps) > 1:
        return turn
    join = scene.rng.choice([" ", " And ", " Also, ", " Oh, and "])
    line = second.user if join == " " else second.user[0].lower() + second.user[1:]
    turn.user = turn.user + ("" if turn.user[-1] in ".?!" else ".") + join + line
    first_step, second_step = turn.steps[0], second.steps[0]
    first_step.think += " " + second_step.think
    first_step.words += " " + second_step.words
    return turn


def conversation(rng):
    """-> (prompt, tools, turns, thinking)"""
    scene = new_scene(rng)
    prompt, tools = system_prompt(scene), tool_list(scene)
    count = rng.choice([1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 8]) if rng.random() < 0.94 else rng.randint(8, 24)
    turns = []
    for i in range(count):
        topic = scene.topic
        turns.append(next_turn(scene, i == 0))
        if scene.topic is topic and topic in ("rumour", "quest", "riddle") and rng.random() < 0.3:
            scene.topic = None
    return prompt, tools, turns, rng.random() < 0.5


def document(seed):
    """One document as (text, weight) pieces."""
    rng = random.Random(seed)
    r = rng.random()
    if r < 0.05:
        texts = [tales.scene_text(rng)] if r < 0.02 else [tales.story_text(rng) for _ in range(rng.randint(1, 2))]
        return [("\n\n".join(texts) + "<|endoftext|>", 0.5)]
    prompt, tools, turns, thinking = conversation(rng)
    if r < 0.08 and not tools:
        lines = [f"Guest: {t.user}\nKeeper: {t.steps[-1].words}" for t in turns]
        return [("\n".join(lines) + "<|endoftext|>", 0.5)]
    return chatml.render(prompt, tools, turns, thinking)
