"""Exchanges about prices: menus, orders, bills, change, rooms, haggling, selling, sums."""
from .phrasing import a_or_an, coins, listed, say, word
from .things import unsold
from .turns import Turn, look_up, looks_up, source
from .world import ALIASES, COUNTED, ITEMS

WHO = "{the guest|the traveller|the visitor|this guest}"
MASS = set("ale cider mead brandy milk bread cheese soup stew porridge".split()) | {"small beer", "red wine", "herb tea"}


def amount(rng, n, key, plain=False):
    """"three mugs of ale", "3 ales", "a mug of ale"; guests also say "a beer" for an ale."""
    item = ITEMS[key]
    if not plain and key in ALIASES and rng.random() < 0.2:
        single, several = ALIASES[key]
        return a_or_an(single) if n == 1 else f"{rng.choice([word(n), str(n)])} {several}"
    if n == 1:
        return item.one if plain or rng.random() < 0.75 else f"one {key}"
    noun = item.many if plain or rng.random() < 0.5 else item.short
    return f"{n if not plain and rng.random() < 0.4 else word(n)} {noun}"


def sellable(scene, *kinds):
    keys = scene.menu(*(kinds or ("drink", "food", "goods")))
    return keys


def missing_item(scene):
    """Something that is not sold here."""
    rng = scene.rng
    strange = unsold(rng)
    if scene.listed and rng.random() < 0.5:
        strange = rng.choice([k for k in COUNTED if k not in scene.prices])
    user = say(rng, "{Do you {have|sell} $a?|Do you {have|sell} $x?|How much is {the $x|$a}?|I'm looking for $a.|Can I buy $a?|I'd like to buy $a.|Got any $x?|One $x, please.|"
                    "Can I get $a here?|what does $a cost?}", x=strange, a=a_or_an(strange))
    turn = Turn(scene, user)
    keys = sellable(scene)
    if not keys:
        return None
    other = rng.choice(keys)
    if "look_up_price" in scene.tools:
        turn.call(say(rng, "{I look up $x.|I do not know of any $x. I look it up to be sure.}", x=strange),
                  [("look_up_price", {"item": strange})], [_not_found(scene, strange)])
        think = say(rng, "{$x is not on the list. I offer {other things|$o} instead.|There is no $x. I say so.}", x=strange, o=other)
    else:
        think = say(rng, WHO + " asks for {a |}$x. {I do not sell that.|We have none.|That is not on my list.} "
                    "{I can offer $o instead.|I say no kindly.|I'll say so and offer $o.}", x=strange, o=other)
    words = say(rng, "{Sorry, no $x here|I have no $x, I'm afraid|$x? not in this house|No $x today}. "
                "{But I can sell you $one.|How about $one instead?|May I offer you $one?|I do have $one, though.}",
                x=strange, one=ITEMS[other].one)
    scene.topic = None
    return turn.answer(think, words)


def _not_found(scene, key):
    style = scene.result_style
    return ["not found", "unknown item", '{"error": "not on the list"}', '{"item": "%s", "price": null}' % key][style]


def ask_price(scene):
    rng = scene.rng
    keys = list(scene.prices)
    key = rng.choice(keys)
    item, price = ITEMS[key], scene.prices[key]
    asked = a_or_an(ALIASES[key][0]) if key in ALIASES and rng.random() < 0.15 else item.one
    user = say(rng, "{How much is {$one|the $key}?|How much for the $key?|What does {$one|the $key} cost?|What do you {ask|charge} for $one?|How much for $one?|"
                    "{What's|What is} the price of $one?|$key: how much?|And $one?|Price of $key?|How much does $one cost?|"
                    "How many coppers for $one?|Is $one expensive?|what about $one?}", one=asked, key=key)
    turn = Turn(scene, user)
    look_up(turn, [key])
    night = " a night" if item.kind == "room" else ""
    think = say(rng, "{" + WHO + " asks for the price of $key. |The price of $key? |A price question. |}$src {I tell them.|I say so.|}",
                key=key, src=source(scene, key))
    words = say(rng, "{$one is $c$n|$one costs $c$n|That's $c$n for $one|$one? $c$n|For $one I ask $c$n|$c$n, friend|I take $c$n for $one}"
                     "{.|!|. {Shall I bring it?|Want one?|A fair price!|Not a coin more.|Would you like one?|Interested?}}",
                one=item.one, c=coins(price), n=night)
    if item.kind in ("room", "service"):
        words = words.replace("Shall I bring it?", "Shall I make it ready?")
    scene.last_item = key
    scene.topic = "price"
    return turn.answer(think, words)


def ask_have(scene):
    """Is it sold here? It is."""
    rng = scene.rng
    key = rng.choice(sellable(scene))
    item = ITEMS[key]
    x = rng.choice([item.one, key, item.short if item.short != key else item.one])
    turn = Turn(scene, say(rng, "{Do you {have|sell} $x?|Got any $k?|Have you got $x?|Is there any $k?|I'm looking for $x.|Can I {get|buy} $x here?|Any $k left?|I could use $one.}", x=x, k=key, one=item.one))
    look_up(turn, [key])
    scene.last_item, scene.topic = key, "price"
    return turn.answer(say(rng, "{They ask for $k. |" + WHO + " asks for $k. |}$src", k=key, src=source(scene, key)),
                       say(rng, "{{I do|Of course|Yes|Certainly|I have}: $one for $c.{| Shall I get it?| How many?| Want one?}|{Yes, $one costs|That I have; $one is} $c{.|!}}", one=item.one, c=coins(scene.prices[key])))


def ask_two_prices(scene):
    rng = scene.rng
    keys = list(scene.prices)
    if len(keys) < 2:
        return None
    a, b = rng.sample(keys, 2)
    turn = Turn(scene, say(rng, "{How much {is|for} $x and $y?|What do $x and $y cost?|The price of $a and $b, please.|How much is the $a? And the $b?|$a and $b: how much?}", a=a, b=b, x=ITEMS[a].one, y=ITEMS[b].one))
    look_up(turn, [a, b])
    p, q = scene.prices[a], scene.prices[b]
    if rng.random() < 0.5:
        return turn.answer(f"{source(scene, a)} {source(scene, b)}", say(rng, "{$x is $p and $y is $q|$x costs $p, $y $q|$p for $x, $q for $y}.", x=ITEMS[a].one, y=ITEMS[b].one, p=p, q=q))
    return turn.answer(f"{source(scene, a)} {source(scene, b)} {p} + {q} = {p + q}.", say(rng, "{$x is $p and $y is $q|$x costs $p, $y $q}; {together $t|$t for both|both for $t}.", x=ITEMS[a].one, y=ITEMS[b].one, p=p, q=q, t=coins(p + q)))


def take_last(scene):
    """"I'll take it", "two of those": what was named last."""
    key, rng = scene.last_item, scene.rng
    if scene.topic != "price" or key not in scene.prices or ITEMS[key].kind in ("room", "service") or looks_up(scene, [key]):
        return None
    item, n = ITEMS[key], rng.choice([1, 1, 2, 2, 3, 4, 5])
    user = "{I'll take it.|I'll have one.|One, please.|Yes, please.|I'll take one.|Yes, one.|Give me one.}" if n == 1 else "{I'll take $n.|$n of them, please.|$n of those.|Give me $n.|Then $n, please.|$n, please!}"
    p = scene.prices[key]
    scene.bills.append((key, n * p))
    scene.topic = "bill"
    turn = Turn(scene, say(rng, user, n=rng.choice([str(n), word(n)])))
    if n == 1:
        return turn.answer(f"They take {item.one}. {source(scene, key)}", say(rng, "{Here you are|With pleasure|Right away|A good choice}: $one{ for $c|, $c}.", one=item.one, c=coins(p)))
    return turn.answer(f"They take {n} {key}. {source(scene, key)} {n} x {p} = {n * p}.",
                       say(rng, "{Here you are|With pleasure|Right away|A good choice}: $a at $p each, $c.", a=amount(rng, n, key, True), p=p, c=coins(n * p)))


def extreme(scene):
    """The cheapest or the dearest of what there is to eat, drink or buy."""
    rng = scene.rng
    if "look_up_price" in scene.tools:
        return None
    kind = rng.choice(["food", "drink", "goods"])
    keys = scene.menu(kind)
    if len(keys) < 2:
        return None
    cheap = rng.random() < 0.6
    price = (min if cheap else max)(scene.prices[k] for k in keys)
    best = [k for k in keys if scene.prices[k] == price]
    noun = {"food": "food", "drink": "drink", "goods": "thing to buy"}[kind]
    turn = Turn(scene, say(rng, "{What's|What is|Which is} {the|your} $w $n{ you have| here|}?",
                           w="cheapest" if cheap else rng.choice(["dearest", "most expensive"]), n=noun))
    scene.last_item, scene.topic = best[0], "price"
    return turn.answer(f"{'Cheapest' if cheap else 'Dearest'}: {listed(best)} at {price}.",
                       say(rng, "{That's|That would be} $x{, $c| for $c}.", x=listed((ITEMS[k].one for k in best), "or"), c=coins(price)))


def ask_price_of_several(scene):
    rng = scene.rng
    key = rng.choice(sellable(scene))
    n, price = rng.randint(2, 10), scene.prices[key]
    turn = Turn(scene, say(rng, "{How much {for|are|would be} $a?|What would $a cost{ me|}?|$a, how much is that?|What do $a come to?|If I take $a, what is the price?}",
                           a=amount(rng, n, key)))
    look_up(turn, [key])
    total = n * price
    think = say(rng, "{$src|" + WHO + " asks for the price of $n of them. $src} {$n x $p = $t.|So $n x $p = $t.|$n times $p is $t.}",
                n=n, p=price, t=total, src=source(scene, key))
    words = say(rng, "{$a at $c each {make|come to} $t|$a cost $t, $c apiece|$c each, so $a are $t|$t for $a}{.|!|. {Deal?|Shall I get them?|Do you want them?}}",
                a=amount(rng, n, key, True), c=coins(price), t=coins(total))
    scene.last_item = key
    return turn.answer(think, words)


def menu(scene):
    """What there is to eat, to drink, to buy, or where to sleep."""
    rng = scene.rng
    kind = rng.choice(["food", "drink", "goods", "food", "drink"])
    keys = scene.menu(kind)
    user = say(rng, {
        "food": "{What's to eat?|What food do you have?|I'm hungry.|What's cooking?|What's on the menu?|Do you serve food?|What can I eat here?|I could eat a horse.|Anything hot to eat?|Show me the menu, please.|What's for {dinner|supper|breakfast}?}",
        "drink": "{What's to drink?|What drinks do you have?|I'm thirsty.|What do you have on tap?|What are you pouring?|Something to drink, please.|What can I drink?|Do you have {ale|beer|wine}?|I need a drink.|What's in the barrels?}",
        "goods": "{What do you sell?|What goods do you have?|What can I buy here?|Show me your wares.|Do you sell gear?|I need supplies for the road.|What else do you have for sale?|Do you have any equipment?|I need to buy some things.}"}[kind])
    turn = Turn(scene, user)
    if not keys:
        words = say(rng, {"food": "{The kitchen is cold today|No food today, I'm sorry}", "drink": "{The barrels are dry|Nothing to drink today}",
                          "goods": "{I sell no goods today|No wares today, I fear}"}[kind] + ". {But I have $x.|I can offer $x, though.}",
                    x=listed(ITEMS[k].one for k in rng.sample(list(scene.prices), 1)))
        return turn.answer(say(rng, "There is no $k on my list. {I say so and name what I have.|I offer something else.}", k=kind), words)
    some = rng.sample(keys, min(len(keys), rng.randint(2, 4)))
    if looks_up(scene, some):
        names = listed(ITEMS[k].one for k in some)
        think = say(rng, "{" + WHO + " wants to know what there is.|A question about my {wares|menu}.} {I name a few things.|I name some. Prices I look up when asked.}")
        words = say(rng, "{I can offer you|There is|I have|Today I have} $x. {What will it be?|Ask me for a price and I'll look it up.|What would you like?|Which one?}", x=names)
    else:
        names = listed(f"{k if k in MASS and rng.random() < 0.6 else ITEMS[k].one} for {scene.prices[k]}" for k in some)
        think = say(rng, "{" + WHO + " is {hungry|thirsty|looking for something}. I name some things with their prices: $l.|I name a few things: $l.}"
                    if kind != "goods" else "{" + WHO + " asks for goods. I name some: $l.|I name a few things: $l.}",
                    l=", ".join(f"{k} {scene.prices[k]}" for k in some))
        if kind == "goods":
            think = think.replace("is hungry", "needs gear").replace("is thirsty", "needs gear")
        words = say(rng, "{I have|There is|I can offer you|Today we have|We've got} $x{| coppers}. {What will it be?|What would you like?|Which one shall I bring?|Your choice!|Does that sound good?}", x=names).replace(" for 1 coppers", " for 1 copper")
    scene.topic = "menu"
    return turn.answer(think, words)


def rooms_list(scene):
    rng = scene.rng
    keys = scene.menu("room")
    user = say(rng, "{Do you have {a room|rooms|a bed}?|I need a {room|bed|place to sleep}.|Is there a room free{ tonight|}?|Can I {sleep|stay} here{ tonight|}?|"
                    "What rooms do you have?|A room for the night, please.|I'm tired and need a bed.|Any rooms left?|Where can I sleep?}")
    turn = Turn(scene, user)
    if not keys:
        return turn.answer("There are no rooms on my list. I say so.",
                           say(rng, "{I have no rooms to let, I'm sorry.|No beds here, friend.} {But you may sit by the fire.|Try the {barn|mill|church} down the road.}"))
    if looks_up(scene, keys):
        words = say(rng, "{I have|There is|You can have} $x. {Which would you like?|Shall I look up the price?|Which one?}", x=listed((ITEMS[k].one for k in keys), "or"))
        return turn.answer(say(rng, WHO + " needs a room. {I name what there is.|I say what is free.}"), words)
    words = say(rng, "{I have|There is|You can have|We've got} $x{| a night}. {Which would you like?|Which one, and for how many nights?|How many nights?|What do you say?}",
                x=listed((f"{ITEMS[k].one} for {scene.prices[k]}" for k in keys), "or"))
    think = say(rng, "{" + WHO + " needs a bed.|They ask for a room.} {I have:|Rooms:} $l. {I ask how many nights.|I ask which one.}",
                l=", ".join(f"{k} {scene.prices[k]}" for k in keys))
    scene.topic = "rooms"
    return turn.answer(think, words)


def take_room(scene):
    rng = scene.rng
    keys = scene.menu("room")
    if not keys:
        return None
    key = rng.choice(keys)
    nights = rng.randint(1, 7)
    extra = rng.choice([k for k in ("stable", "bath") if k in scene.prices] or [None]) if rng.random() < 0.3 else None
    span = "one night" if nights == 1 else f"{rng.choice([str(nights), word(nights)])} nights"
    tail = {"stable": rng.choice([", and a stall for my horse", " and a place in the stable for my horse"]),
            "bath": rng.choice([", and a hot bath", " with a bath"]), None: ""}[extra]
    user = say(rng, "{{I'll take|I'd like|Give me|I want|Let me have} $one for $s$t.|$one for $s$t, please.|$one, $s$t.}",
               one=ITEMS[key].one, s=span, t=tail)
    turn = Turn(scene, user)
    look_up(turn, [key] + ([extra] if extra else []))
    p = scene.prices[key]
    cost = p * nights
    think = say(rng, "{$src|" + WHO + " takes $one. $src} $n x $p = $c.", src=source(scene, key), one=ITEMS[key].one, n=nights, p=p, c=cost)
    words = say(rng, "{$one for $s is $c|$one, $s, that's $c|$s in $one: $c}", one=ITEMS[key].one, s="one night" if nights == 1 else word(nights) + " nights", c=coins(cost))
    if extra:
        q = scene.prices[extra]
        m = nights if extra == "stable" else 1
        more = q * m
        total = cost + more
        think += say(rng, " {The $k is|For the $k:} $m x $q = $e. $c + $e = $t.", k=extra, m=m, q=q, e=more, c=cost, t=total)
        words += say(rng, ", {and|plus} $e for the $k, so $t {in all|together}", k=extra, e=more, t=coins(total))
        cost = total
    words += say(rng, "{.|!|. {Up the stairs, {first|second|third|last} door on the {left|right}.|Here is your key.|Sleep well!|Breakfast is at sunrise.|The key hangs by the door.|Mind the third stair, it creaks.}}")
    scene.bills.append(("the room", cost))
    scene.topic = "bill"
    return turn.answer(think, words)


def order(scene):
    """One to three kinds of things at once: products, and a sum."""
    rng = scene.rng
    keys = sellable(scene, *rng.choice([("drink", "food"), ("drink", "food"), ("goods",), ("drink",)]))
    if not keys:
        return None
    keys = rng.sample(keys, min(len(keys), rng.choice([1, 1, 1, 2, 2, 2, 3])))
    counts = [rng.choice([1, 1, 2, 2, 3, 4, 5, 6]) for _ in keys]
    wanted = listed(amount(rng, n, k) for n, k in zip(counts, keys))
    user = say(rng, "{$w, please.|I'd like $w.|I'll {have|take} $w.|Give me $w.|I'd like to buy $w.|I want to buy $w.|If I buy $w, what does it cost?|What do $w cost together?|Bring me $w{|, please}.|Can I {get|have} $w?|$w!|"
                    "I want $w.|{Let's|Let us} have $w.|I would like $w, please.|Could you bring us $w?|$w for me and my friends.|I'll buy $w.}", w=wanted)
    turn = Turn(scene, user)
    look_up(turn, keys)
    total, think, parts = 0, say(rng, "{" + WHO + " {wants|orders} $w.|An order: $w.|They want $w.}",
                                 w=listed(f"{n} {k}" for n, k in zip(counts, keys))), []
    for i, (n, k) in enumerate(zip(counts, keys)):
        p = scene.prices[k]
        cost = n * p
        think += " " + source(scene, k) + (f" {n} x {p} = {cost}." if n > 1 else "")
        total += cost
        if i:
            think += f" {total - cost} + {cost} = {total}."
        named = amount(rng, n, k, True)
        if i == 0:
            parts.append(say(rng, "$a {for|at} $c" if n == 1 else "$a at $p each, $c", a=named, p=p, c=coins(cost) if len(keys) == 1 else cost))
        else:
            parts.append(say(rng, "$a for $c" if n == 1 else "$a at $p each, $c", a=named, p=p, c=cost))
    if len(keys) == 1:
        words = say(rng, "{$x{.|!}|{Coming up:|Right away:|Of course:|With pleasure:|Here you are:} $x.}", x=parts[0])
    elif len(keys) == 2:
        words = say(rng, "{|Coming up: |Let me see: |Very well: }$x; $y. {That makes $t|Together that is $t|That's $t in all|$t in all}.", x=parts[0], y=parts[1], t=coins(total))
    else:
        first = counts[0] * scene.prices[keys[0]] + counts[1] * scene.prices[keys[1]]
        words = say(rng, "{|Let me see: |Very well: }$x; $y, {so|which makes} $f so far; $z. {That makes $t|Together that is $t|That's $t in all|$t in all}.",
                    x=parts[0], y=parts[1], z=parts[2], f=first, t=coins(total))
    words += say(rng, "{|| Enjoy!| Anything else?| To your health!| Pay now or later, as you like.| Here you go.}")
    scene.bills.append((listed(k for k in keys), total))
    scene.topic = "bill"
    return turn.answer(think, words)


def pay(scene):
    """Change from a sum that lies on the counter."""
    if not scene.bills:
        return None
    rng = scene.rng
    due = sum(c for _, c in scene.bills)
    given = rng.choice([due, due + rng.randint(1, 10), ((due // 10) + 1) * 10, ((due // 5) + 1) * 5, ((due // 10) + 2) * 10, max(1, due - rng.randint(1, 5))])
    turn = Turn(scene, say(rng, "{Here {are|you go,} $g.|I {pay|give you} $g.|Here's $g.|I put $g on the counter.|$g, keep it fair.|Take $g.|I have $g here.|Here is the money: $g.}", g=coins(given)))
    think = ""
    if len(scene.bills) > 1:
        think = "The bill: " + _adding(scene.bills) + " "
    else:
        think = f"The bill is {due}. "
    many = "" if len(scene.bills) == 1 else say(rng, "{It was|You owed} $s, $d in all. ", s=listed(f"{c} for {w}" for w, c in scene.bills), d=due)
    if given == due:
        scene.bills = []
        return turn.answer(think + f"They give {given}. That is exact.",
                           many + say(rng, "{$g, exactly right. Thank you!|Just right, thank you.|To the copper! {Thank you|Many thanks}.|Paid in full. Thank you, $f.}", g=coins(given), f=scene.friend()))
    if given > due:
        scene.bills = []
        return turn.answer(think + say(rng, "{They give $g.|I get $g.} $g - $d = $x. {I give $x back.|The change is $x.}", g=given, d=due, x=given - due),
                           many + say(rng, "{$g for a bill of $d|$d from $g|You gave $g and owed $d}: {that's|here are|you get} $c {back|in change}. {Thank you!|Thank you kindly.|There you are.|Much obliged.}",
                                      g=given, d=due, c=coins(given - due)).replace("here are 1 copper", "here is 1 copper"))
    scene.bills = [("the rest", due - given)]
    return turn.answer(think + f"They give only {given}. {due} - {given} = {due - given} short.",
                       many + say(rng, "{That's $g, but you owe $d. $c {are missing|to go}.|You still owe $c: $d less $g.|$g is not enough for $d, $f. $c more, please.}",
                                  g=given, d=due, c=coins(due - given), f=scene.friend()).replace("1 copper are", "1 copper is"))


def _adding(bills):
    text, total = "", bills[0][1]
    for _, c in bills[1:]:
        text += f"{total} + {c} = {total + c}. "
        total += c
    return text.strip()


def owe(scene):
    if not scene.bills or len(scene.bills) > 3:
        return None
    rng = scene.rng
    turn = Turn(scene, say(rng, "{What do I owe{ you|}{ in all|}?|How much is that {together|in all}?|The bill, please.|How much do I owe{ you|}?|Can I pay?|What's my tab?|I'd like to pay.|What does it all come to?}"))
    total = sum(c for _, c in scene.bills)
    lines = listed(f"{c} for {w}" for w, c in scene.bills)
    if len(scene.bills) == 1:
        return turn.answer(f"On the tab: {lines}.", say(rng, "{You owe me|That's|It's|That makes} $t for $w.", t=coins(total), w=scene.bills[0][0]))
    return turn.answer(f"On the tab: {lines}. " + _adding(scene.bills),
                       say(rng, "{You had|Let me count:|There is} $l. {That makes|Together|In all, that's} $t.", l=lines, t=coins(total)))
