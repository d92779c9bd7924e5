"""Hello and goodbye, and what the guest says about themselves and asks back later."""
from .phrasing import a_or_an, say
from .trade import MASS, WHO
from .turns import Turn
from .world import HOMES, TRADES, person


def greet(scene):
    rng = scene.rng
    named = rng.random() < 0.35 and not scene.guest
    user = say(rng, "{Hello|Hi|Good evening|Good day|Greetings|Hey|Good morning|Hail|Well met|Evening|Howdy|Hey there|Good afternoon|Hello there|Hi there|Yo|Ahoy}{!|.|, keeper.|, innkeeper!|, friend.|, barkeep!|, sir.}")
    if rng.random() < 0.05:
        user = say(rng, "{Is anybody here?|Anyone home?|Knock knock.|*walks in*|*enters the tavern*|*sits down at the bar*}")
    if named:
        scene.guest = person(rng)
        user += say(rng, " {I'm $n.|My name is $n.|I am $n.|They call me $n.|The name's $n.}", n=scene.guest)
    think = say(rng, "{" + WHO + " greets me. |A greeting. |Someone new. |A guest. }{I welcome them{ to $t|}.|I say hello and ask what they need.|A warm welcome will do.|I greet them back.}", t=scene.tavern)
    if named:
        think += say(rng, " {The name is $n.|I should remember the name: $n.|Their name is $n.}", n=scene.guest)
    hello = say(rng, "{Good evening|Welcome|Hello|Come in, come in|Greetings|Well met|Good day|Welcome in}")
    words = say(rng, "$h, $n! {Welcome to $t.|What can I bring you?|Sit down, sit down!|What will it be?|A drink, a meal, a bed?|Pleased to meet you.|I'm $k. What can I do for you?|You look like you need a chair.}"
                if named or scene.guest else "$h{!|, friend!|, traveller!|, stranger!} {Welcome to $t.|I'm $k, keeper of $t.|What can I bring you?|Sit down by the fire.|What will it be?|A drink, a meal, or a bed?|Close the door, the wind is cold.|You look hungry.|What brings you to $v?|How can I help you?}",
                h=hello, n=scene.guest, t=scene.tavern, k=scene.keeper, v=scene.village)
    words = words.replace("Welcome, friend! Welcome to", "Hello, friend! Welcome to").replace("Welcome! Welcome to", "Hello! Welcome to")
    if rng.random() < 0.4:
        words += say(rng, " {The fire is warm and the $d is fresh.|There's $d on the table already.|We have $d today.|It's a quiet night.|You came at the right time.|The kettle is on.}", d=rng.choice([k for k in scene.prices if k in MASS] or ["water"]))
    return Turn(scene, user).answer(think, words)


def greet_as_well(scene, turn):
    """A greeting before another question, in one breath; the answer greets back."""
    rng = scene.rng
    hello = say(rng, "{Hello|Hi|Good evening|Good day|Hey|Greetings|Good morning}{!|.|, keeper.|, friend!}")
    back = say(rng, "{Welcome|Hello|Good evening|Well met|Greetings}")
    if not scene.guest and rng.random() < 0.4:
        scene.guest = person(rng)
        hello += say(rng, " {I'm|My name is|I am} $n.", n=scene.guest)
        back += f", {scene.guest}"
        turn.steps[0].think = f"The name is {scene.guest}. " + turn.steps[0].think
    turn.user = f"{hello} {turn.user}" if rng.random() < 0.7 else f"{hello} {turn.user}".lower()
    turn.steps[-1].words = f"{back}! {turn.steps[-1].words}"
    return turn


def introduce(scene):
    """Name, trade or home, told by the guest."""
    rng = scene.rng
    kind = rng.choice(["name", "trade", "home"])
    if kind == "name":
        if scene.guest:
            return None
        scene.guest = person(rng)
        return Turn(scene, say(rng, "{My name is $n.|I'm $n, by the way.|Call me $n.|You can call me $n.|I am $n.|I am called $n.}", n=scene.guest)).answer(
            say(rng, "{The name is $n.|Their name is $n. I remember it.|$n, then. I use the name.}", n=scene.guest),
            say(rng, "{Pleased to meet you, $n.|$n! A good name.|Well met, $n.|Welcome, $n.|$n, is it? I'm $k.} {What can I do for you?|Sit down, sit down.|What will it be?|}", n=scene.guest, k=scene.keeper))
    if kind == "trade":
        if scene.trade:
            return None
        scene.trade = rng.choice(TRADES)
        return Turn(scene, say(rng, "{I'm $t.|I am $t.|I work as $t.|I'm $t by trade.}", t=a_or_an(scene.trade))).answer(
            say(rng, "{" + WHO + " is $t.|They are $t. I remember that.}", t=a_or_an(scene.trade)),
            say(rng, "{$t! {A hard life, I hear.|We don't get many of those.|My uncle was one.|Then you must have stories to tell.|An honest trade, mostly.}|So, $t. {The last one who came here paid with a song.|That must be thirsty work.|You'll be welcome in $v.}}", t=a_or_an(scene.trade), v=scene.village))
    if scene.home:
        return None
    scene.home = rng.choice(HOMES)
    return Turn(scene, say(rng, "{I come from $h.|I'm from $h.|I have come all the way from $h.|I just arrived from $h.}", h=scene.home)).answer(
        say(rng, "{They come from $h.|From $h. I remember that.}", h=scene.home),
        say(rng, "{From $h? {A long way!|You must be weary.|I had a cousin there.|What news from there?|They say the roads are bad.}|$h! {I was there once, long ago.|Good cheese comes from there.|Then you know real weather.}}", h=scene.home))


def recall(scene):
    """Does the keeper remember what was said?"""
    rng = scene.rng
    kind = rng.choice(["name", "name", "trade", "home"])
    fact = {"name": scene.guest, "trade": scene.trade, "home": scene.home}[kind]
    user = say(rng, {"name": "{What's my name?|Do you remember my name?|Do you know {my name|who I am}?|Who am I?|What did I say my name was?}",
                     "trade": "{What's my trade?|Do you remember what I do?|What is my work?|Do you know what I am?}",
                     "home": "{Where am I from?|Do you remember where I come from?|Do you know where I'm from?}"}[kind])
    if not fact:
        if rng.random() < 0.5:
            return None
        ask = {"name": "name", "trade": "trade", "home": "home"}[kind]
        return Turn(scene, user).answer(f"They have not told me their {ask}.",
                                        say(rng, "{You have not told me yet.|How should I know? You never said.|You have not said.} {Tell me!|Will you tell me?|I'm good with faces, not with guesses.}"))
    said = {"name": f"Their name is {fact}.", "trade": f"They are {a_or_an(fact)}.", "home": f"They are from {fact}."}[kind]
    words = {"name": "{You're $x|$x|Your name is $x}{.|, of course.|, unless I'm going deaf.|. I never forget a guest.}",
             "trade": "{You're $a|You said you're $a}{.|. I remember.|, if I heard right.}",
             "home": "{You're from $x|You came from $x|From $x}{.|, you said.|. I listen, you see.}"}[kind]
    return Turn(scene, user).answer(said, say(rng, words, x=fact, a=a_or_an(fact)))


def thanks(scene):
    rng = scene.rng
    return Turn(scene, say(rng, "{Thanks|Thank you|Thank you so much|Thanks a lot|Many thanks|Cheers|Much appreciated}{!|.|, friend.|, $k.}", k=scene.keeper)).answer(
        say(rng, "{They thank me.|Thanks are nice to hear.} {I say they are welcome.|I stay friendly.}"),
        say(rng, "{You're welcome|My pleasure|Gladly|Any time|Don't mention it|That's what I'm here for}, $f{.|!} {Anything else?|Just wave if you need me.|Enjoy the fire.|}", f=scene.friend()))


def farewell(scene):
    rng = scene.rng
    user = say(rng, "{Goodbye|Bye|Farewell|Good night|I have to go|I must be off|See you|I'm off to bed|Time to leave|Until next time|Take care}{!|.|, $k.|, keeper.}", k=scene.keeper)
    think = "They leave. "
    words = say(rng, "{Farewell|Safe travels|Goodbye|Good night|Until next time|Take care}, $f! {Come back soon.|The door is always open.|Mind the step.|May the road be kind.|$house will be here.|Greet the world for me.}", f=scene.friend(), house=scene.tavern)
    if scene.bills:
        due = sum(c for _, c in scene.bills)
        if len(scene.bills) <= 2:
            think += say(rng, "{But the bill is not paid.|There is still the bill.} ") + (f"{scene.bills[0][1]} + {scene.bills[1][1]} = {due}." if len(scene.bills) == 2 else f"It is {due}.")
            words = say(rng, "{Not so fast, $f!|One moment, $f!|Wait, $f!} {You still owe me $d.|There's the matter of $d.|$d first, please.}", f=scene.friend(), d=f"{due} copper{'s' if due != 1 else ''}")
    else:
        think += "I wish them well."
    return Turn(scene, user).answer(think, words)
