"""Exchanges that need a little more thought about coins: comparing, affording, haggling, splitting, plain sums."""
from .phrasing import coins, listed, say, word
from .trade import WHO, amount, sellable
from .turns import Turn, look_up, looks_up, source
from .world import ITEMS


def compare(scene):
    rng = scene.rng
    keys = sellable(scene)
    if len(keys) < 2:
        return None
    a, b = rng.sample(keys, 2)
    dear = rng.random() < 0.3
    turn = Turn(scene, say(rng, "{Which is $w, $a or $b?|What's $w: $a or $b?|Is $a or $b $w?|Which one is $w, $x or $y?}",
                           w="dearer" if dear else "cheaper", a=a, b=b, x=ITEMS[a].one, y=ITEMS[b].one))
    look_up(turn, [a, b])
    p, q = scene.prices[a], scene.prices[b]
    think = f"{source(scene, a)} {source(scene, b)} "
    if p == q:
        return turn.answer(think + f"{p} and {q} are the same.", say(rng, "{Both cost $c|They cost the same, $c|No difference: $c each}. {Take what you like better.|Let your tongue decide.|}", c=coins(p)))
    low, high = (a, b) if p < q else (b, a)
    lo, hi = min(p, q), max(p, q)
    pick = high if dear else low
    think += f"{lo} is less than {hi}, so the {pick} is {'dearer' if dear else 'cheaper'}."
    words = say(rng, "{The $k|$one}{, of course|}. {$low is $lo and $high is $hi.|$low costs $lo, $high $hi.|You pay $lo for $low, but $hi for $high.}",
                k=pick, one=ITEMS[pick].one, low=low, high=high, lo=lo, hi=hi)
    scene.last_item = pick
    return turn.answer(think, words)


def afford(scene):
    rng = scene.rng
    keys = sellable(scene)
    if not keys:
        return None
    key = rng.choice(keys)
    n, price = rng.choice([1, 1, 2, 3, 4, 5]), scene.prices[key]
    purse = max(1, n * price + rng.randint(-6, 8))
    turn = Turn(scene, say(rng, "{I have $m. Can I {afford|buy} $a?|Is $m enough for $a?|Can I buy $a with $m?|I've only got $m. Is that enough for $a?|Will $m do for $a?}",
                           m=coins(purse), a=amount(rng, n, key)))
    look_up(turn, [key])
    total = n * price
    think = source(scene, key) + (f" {n} x {price} = {total}." if n > 1 else "")
    a = amount(rng, n, key, True)
    cost = "{costs|comes to}" if n == 1 else "{cost|come to}"
    if total == purse:
        return turn.answer(think + f" {purse} is exactly enough.", say(rng, "{Yes, just enough!|Exactly enough!|Yes, to the last copper:} $a " + cost + " $t.", a=a, t=coins(total)))
    if total < purse:
        return turn.answer(think + f" {purse} is more than {total}. {purse} - {total} = {purse - total} left.",
                           say(rng, "{Yes|Easily|Of course|You can}: $a " + cost + " $t, and you keep $r.", a=a, t=coins(total), r=purse - total))
    return turn.answer(think + f" {purse} is less than {total}. {total} - {purse} = {total - purse} missing.",
                       say(rng, "{No, I'm afraid not|Not quite|Sadly no}: $a " + cost + " $t. You are $r short.", a=a, t=coins(total), r=total - purse))


def how_many(scene):
    rng = scene.rng
    keys = sellable(scene)
    if not keys:
        return None
    key = rng.choice(keys)
    price = scene.prices[key]
    purse = rng.randint(price, min(60, price * 10))
    item = ITEMS[key]
    turn = Turn(scene, say(rng, "{How many $s can I {buy|get} {for|with} $m?|I have $m. How many $s is that?|$m of $s, please. How many will I get?|How many $s does $m buy?}", s=item.many if rng.random() < .5 else item.short, m=coins(purse)))
    look_up(turn, [key])
    n, rest = divmod(purse, price)
    think = f"{source(scene, key)} {n} x {price} = {n * price}. " + (f"{purse} - {n * price} = {rest}, too little for one more." if rest else "That uses it all.")
    things = item.one if n == 1 else f"{word(n)} {item.many}"
    words = say(rng, "{You can have|That buys you|You get} $t for $c", t=things, c=coins(n * price))
    words += say(rng, "{, and you keep $r.|, with $r left over.|. That leaves $r.}", r=coins(rest)) if rest else say(rng, "{, exactly.|, and nothing left over.|, to the last coin.}")
    scene.last_item = key
    return turn.answer(think, words)


def recommend(scene):
    """Something that fits the purse or the mood."""
    rng = scene.rng
    kind = rng.choice(["food", "drink"])
    keys = scene.menu(kind)
    if len(keys) < 2:
        return None
    some = rng.sample(keys, min(len(keys), 3))
    if rng.random() < 0.5:
        turn = Turn(scene, say(rng, {"food": "{What do you recommend{ to eat|}?|What's good here?|What should I eat?|What's your best dish?|Surprise me with something to eat.}",
                                     "drink": "{What do you recommend to drink?|What should I drink?|What's your best drink?|Which drink do you like best?|Pour me something good.}"}[kind]))
        look_up(turn, some[:1])
        key = some[0]
        praise = {"food": "{My mother's own recipe.|My grandmother taught me that one.|Fresh this morning.|It warms the bones.|My aunt swears by it.}",
                  "drink": "{The brewer outdid himself.|It warms the bones.|The smith swears by it.|Brewed by the old priest himself.|The miller drinks nothing else.}"}[kind]
        return turn.answer(say(rng, "I recommend the $k. $src", k=key, src=source(scene, key)),
                           say(rng, "{Try|I'd take|Have|My favourite is|I swear by|You can't go wrong with} $one{, $c|, only $c|; it's $c}. "
                               "{Nobody ever sent it back.|You'll want a second one.|It is the pride of the house.|" + praise + "|" + praise + "}",
                               one=ITEMS[key].one, c=coins(scene.prices[key])))
    purse = max(1, scene.prices[some[0]] + rng.randint(-2, 3))
    turn = Turn(scene, say(rng, "{I only have $m. What can I $v?|What can I $v for $m?|I've got just $m and I'm $h.|Something to $v for $m, please.}",
                           m=coins(purse), v={"food": "eat", "drink": "drink"}[kind], h={"food": "hungry", "drink": "thirsty"}[kind]))
    look_up(turn, some)
    fits = [k for k in some if scene.prices[k] <= purse]
    think = " ".join(source(scene, k) for k in some) + " "
    if not fits:
        cheap = min(some, key=lambda k: scene.prices[k])
        return turn.answer(think + f"All are more than {purse}. The cheapest is {cheap} at {scene.prices[cheap]}.",
                           say(rng, "{With $m it's hard|$m is not much}, $f. {The cheapest I can name is|The least is} $one at $p.", m=coins(purse), f=scene.friend(), one=ITEMS[cheap].one, p=scene.prices[cheap]))
    best = max(fits, key=lambda k: scene.prices[k])
    left = purse - scene.prices[best]
    scene.last_item = best
    return turn.answer(think + f"{best} fits: {purse} - {scene.prices[best]} = {left}.",
                       say(rng, "{For $m|With $m} you can have $one{ at $p| for $p}", m=coins(purse), one=ITEMS[best].one, p=scene.prices[best])
                       + (say(rng, "{, and keep $r.|, and $r stays in your purse.}", r=left) if left else say(rng, "{, exactly.|, to the last coin.}")))


def haggle(scene):
    """An offer below the price: refused, or met one coin down."""
    rng = scene.rng
    known = [k for k in sellable(scene) if scene.prices[k] >= 4]
    if not known or looks_up(scene, known[:1]):
        return None
    key = scene.last_item if scene.last_item in known else rng.choice(known)
    price = scene.prices[key]
    offer = rng.randint(max(1, price // 3), price - 1)
    turn = Turn(scene, say(rng, "{I'll give you $o for $one.|$o for $one, not more!|Would you take $o for $one?|$one for $o?|How about $o for $one?|I offer $o for the $k.|That's too much. $o for $one?}",
                           o=coins(offer), one=ITEMS[key].one, k=key))
    gap = price - offer
    if gap == 1 or offer * 2 < price:
        accept = gap == 1
        if accept:
            scene.bills.append((key, offer))
            return turn.answer(f"{source(scene, key)} They offer {offer}. {price} - {offer} = 1, a small gap. I agree.",
                               say(rng, "{Fine|Oh, very well|Done|You drive a hard bargain}: $o for $one. {Don't tell the others!|You have a silver tongue.|My poor purse!|}", o=coins(offer), one=ITEMS[key].one))
        return turn.answer(f"{source(scene, key)} They offer only {offer}. That is less than half. I refuse.",
                           say(rng, "{$o? You jest!|$o? Ha, no!|For $o I can't do it.} {$one costs $p, and not a coin less.|The price is $p.|I have mouths to feed. It's $p.}", o=coins(offer), one=ITEMS[key].one, p=coins(price)))
    middle = price - 1
    scene.offer = (key, middle)
    return turn.answer(f"{source(scene, key)} They offer {offer}. I can go down by one: {price} - 1 = {middle}.",
                       say(rng, "{For $o I'd starve|$o is too little|My children would cry at $o}. {But because I like you, $m.|Let us say $m.|$m, my last word.|I could do $m.}", o=coins(offer), m=coins(middle)))


def accept_offer(scene):
    if not scene.offer:
        return None
    rng, (key, price) = scene.rng, scene.offer
    scene.offer = None
    if rng.random() < 0.7:
        scene.bills.append((key, price))
        return Turn(scene, say(rng, "{Deal.|Done!|Agreed.|It's a deal.|Fine, $p it is.|All right.|Very well.|Okay, deal!}", p=price)).answer(
            say(rng, "{They agree|" + WHO + " agrees} to $p for the $k.", p=price, k=key),
            say(rng, "{Done|A deal|Sold|Shake on it}: $one for $c. {Use it well!|You drive a hard bargain.|A pleasure to trade with you.}", one=ITEMS[key].one, c=coins(price)))
    return Turn(scene, say(rng, "{No, too much.|No thanks.|Still too dear.|Then keep it.|I'll think about it.}")).answer(
        "They do not want it. No hard feelings.", say(rng, "{As you wish|No harm done|Suit yourself|Fair enough}. {The offer stands until morning.|Perhaps another time.|It won't spoil.}"))


GOODS_OF_GUESTS = """wolf pelt|rabbit|silver ring|old sword|bag of herbs|deer hide|copper pot|basket of mushrooms|jar of honey|fox fur
|pair of boots|goat|barrel of fish|bundle of firewood|sack of flour|goose|carved box|strange coin|bronze key|feather hat"""
GOODS_OF_GUESTS = GOODS_OF_GUESTS.replace("\n", "").split("|")


def sell_to_keeper(scene):
    rng = scene.rng
    thing = rng.choice(GOODS_OF_GUESTS)
    n, each = rng.choice([1, 1, 1, 2, 3, 4]), rng.randint(2, 12)
    plural = {"old sword": "old swords", "bag of herbs": "bags of herbs", "basket of mushrooms": "baskets of mushrooms", "jar of honey": "jars of honey", "fox fur": "fox furs",
              "pair of boots": "pairs of boots", "barrel of fish": "barrels of fish", "bundle of firewood": "bundles of firewood", "sack of flour": "sacks of flour",
              "goose": "geese", "carved box": "carved boxes"}.get(thing, thing + "s")
    have = ("an " if thing[0] in "aeiou" else "a ") + thing if n == 1 else f"{word(n)} {plural}"
    turn = Turn(scene, say(rng, "{I want to sell $h.|Would you buy $h?|I have $h to sell.|What would you give me for $h?|Do you buy things? I have $h.|How much for $h of mine?}", h=have))
    if n == 1:
        think, words = f"{have}: worth about {each} to me.", say(rng, "{$h? I'd give you $c for it.|For $h I can pay $c.|Let me see... $c, and not one more.|I'll take it for $c.}", h=have, c=coins(each))
    else:
        total = n * each
        think = f"{have}: I would pay {each} each. {n} x {each} = {total}."
        words = say(rng, "{I'd give you|I can pay|Let me see:} $e each, so $t for the $n of them.", e=coins(each), t=coins(total), n=word(n))
    return turn.answer(think, words + say(rng, "{| Deal?| What do you say?| A fair price.}"))


def split_bill(scene):
    rng = scene.rng
    heads, share = rng.randint(2, 6), rng.randint(2, 12)
    total, rest = heads * share, 0
    if rng.random() < 0.3:
        rest = rng.randint(1, heads - 1)
        total += rest
    turn = Turn(scene, say(rng, "{We are $h people and owe $t. What does each pay?|Can we split $t between $h{ of us|}?|Divide $t by $h, please.|There are $h of us and the bill is $t. How much each?}",
                           h=rng.choice([str(heads), word(heads)]), t=coins(total)))
    if rest:
        return turn.answer(f"{heads} x {share} = {heads * share}. {total} - {heads * share} = {rest} left over.",
                           say(rng, "$s each, and $r left over{. One of you must be generous.|; someone pays a bit more.|. Draw straws for the rest.}", s=coins(share), r=rest))
    return turn.answer(f"{heads} x {share} = {total}, so each pays {share}.", say(rng, "{That's $s each|Each of you pays $s|$s from each of you}, since $h times $n is $t.", s=coins(share), h=word(heads), n=share, t=total))


def plain_sum(scene):
    """"What is 7 + 5?", asked of someone who counts coins all day."""
    rng = scene.rng
    op = rng.choice("+-x+-x/")
    if op == "+":
        a, b = rng.randint(1, 60), rng.randint(1, 60)
        c, spoken = a + b, rng.choice(["plus", "and", "+"])
    elif op == "-":
        a, b = sorted((rng.randint(1, 80), rng.randint(1, 80)), reverse=True)
        c, spoken = a - b, rng.choice(["minus", "less", "-"])
    elif op == "x":
        a, b = rng.randint(1, 12), rng.randint(1, 12)
        c, spoken = a * b, rng.choice(["times", "x", "*"])
    else:
        b, c = rng.randint(1, 10), rng.randint(1, 12)
        a, spoken = b * c, rng.choice(["divided by", "/", "shared by"])
    turn = Turn(scene, say(rng, "{What is|What's|How much is|Can you tell me|Quick:|Count for me:|} $a $o $b?", a=a, o=spoken, b=b))
    think = {"+": f"{a} + {b} = {c}.", "-": f"{a} - {b} = {c}.", "x": f"{a} x {b} = {c}.", "/": f"{b} x {c} = {a}, so {a} / {b} = {c}."}[op]
    return turn.answer(say(rng, "{A sum: |Let me count. |}") + think,
                       say(rng, "{That's $c|$c|It's $c|$a $o $b is $c|$c, unless my fingers lie}{.|!|. {Easy as counting coppers.|I count coins all day, you know.|Ask me a harder one!|Why, are you buying?}}", a=a, o=spoken, b=b, c=c))


def party(scene):
    """"There are four of us. An ale for each, and stew for two." """
    rng = scene.rng
    keys = sellable(scene, "drink", "food")
    if len(keys) < 2:
        return None
    a, b = rng.sample(keys, 2)
    n = rng.randint(2, 6)
    m = rng.randint(1, n)
    turn = Turn(scene, say(rng, "{There are|We are} $n of us. $one for {each|everyone}{ and|, and} $y for $m.", n=word(n), one=ITEMS[a].one, y=b,
                           m={1: "me"}.get(m, "all" if m == n else word(m))))
    look_up(turn, [a, b])
    p, q = scene.prices[a], scene.prices[b]
    x, y = n * p, m * q
    think = f"{source(scene, a)} {n} x {p} = {x}. {source(scene, b)} {m} x {q} = {y}. {x} + {y} = {x + y}."
    words = say(rng, "{Coming up!|Sit down, all of you!|A full table, I like that!} $a, $x; $b, $y. {That makes|Together} $t.", a=amount(rng, n, a, True), x=x, b=amount(rng, m, b, True), y=y, t=coins(x + y))
    scene.bills.append((listed([a, b]), x + y))
    scene.topic = "bill"
    return turn.answer(think, words)
