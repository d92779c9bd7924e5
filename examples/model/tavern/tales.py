"""Rumours, work for heroes, stories, riddles, songs and dice: each put together anew."""
from .lore import PEOPLE
from .phrasing import a_or_an, say, word
from .trade import WHO
from .turns import Turn

BEASTS = "wolf|giant spider|boar|ghost|goblin|bear|troll|bandit|talking raven|swamp witch|dragon|skeleton|pixie|giant rat|werewolf|basilisk".split("|")
PLACES = "in the old mine|at the ruins|by the lake|in the forest|at the mill|under the bridge|on the north road|in the churchyard|in the cellar of the school|in the marsh".split("|")
LOST = "silver bell|wedding ring|prize goat|fiddle|sealed letter|family sword|box of seeds|golden cup|map of the hills|book of songs|blue lantern|bag of coins".split("|")
FOLK = ["the " + role for role in PEOPLE] + "a shepherd|an old soldier|a tinker|two farmers|a pedlar|the mayor's cook|a drunken guard|three children".split("|")


def bare(there):
    """"the lake" of "by the lake"."""
    return there.split(" ", 1)[1]


def rumour(scene):
    rng = scene.rng
    who, there = rng.choice(FOLK), rng.choice(PLACES)
    where = bare(there)
    beast, thing = rng.choice(BEASTS), rng.choice(LOST)
    what = say(rng, "{saw $b near $p|heard $b singing $a|found $t $a|lost $t near $p|met $b $a, and it asked for the way}",
               b=a_or_an(beast), p=where, a=there, t=a_or_an(thing))
    when = say(rng, "{last night|three days ago|on market day|at full moon|this very morning|a week ago|in the fog}")
    user = say(rng, "{Any {news|rumours|gossip}?|What's {new|the news}{ in the village|}?|Heard any rumours{ lately|}?|Tell me {a rumour|the latest gossip}.|What are people talking about?|Anything strange happening around here?|What's going on here?|Do you have news?}")
    think = say(rng, "{" + WHO + " wants news.|A rumour, then.|They ask for gossip.} {I tell the one about $w and $p.|$w and $p, that is a good one.}", w=who, p=where)
    words = say(rng, "{They say|People say|I heard that|Word is that|The talk is that} $w $x $n. {I believe half of it.|Make of it what you will.|Nobody has dared to look since.|Since then the dogs won't go there.|Some say it was only the ale.|My hair stood on end.|Perhaps you should have a look.|Strange times.}",
                w=who, x=what, n=when)
    scene.topic, scene.about = "rumour", (who, where, beast)
    return Turn(scene, user).answer(think, words)


def more(scene):
    """What "tell me more" means after a rumour, a person or a place."""
    rng = scene.rng
    if scene.topic != "rumour":
        return None
    who, where, beast = scene.about
    are, was = ("are", "were") if who in ("two farmers", "three children") else ("is", "was")
    user = say(rng, "{Tell me more.|Really?|Is that true?|Go on.|Do you believe it?|What happened then?|More, please.}")
    think = say(rng, "They want more about $w and $p.", w=who, p=where)
    words = say(rng, "{As true as I stand here|I only know what I was told|Well, this much I know}: {$w ran all the way home|$w $s pale as milk for a week|$w would not speak of it sober|$w $a not known for lying}. "
                     "{If you go to $p, take a light.|I would not go to $p alone.|Someone ought to look around $p.|Keep away from $p after dark.}", w=who, p=where, a=are, s=was)
    scene.topic = None
    return Turn(scene, user).answer(think, words)


def quest(scene):
    rng = scene.rng
    role = rng.choice(list(PEOPLE))
    name = PEOPLE[role][0]
    there, reward = rng.choice(PLACES), rng.choice([10, 12, 15, 20, 25, 30, 40, 50])
    where, beast, thing = bare(there), rng.choice(BEASTS), rng.choice(LOST)
    task, short = rng.choice([
        (say(rng, "{wants someone to drive off the $b $p|needs a brave soul to deal with the $b $p}", b=beast, p=there), f"the {beast} {there}"),
        (say(rng, "{lost $t near $p and wants it back|needs $t brought back from $p}", t=a_or_an(thing), p=where), f"the {thing} near {where}"),
        (say(rng, "{wants a parcel carried safely past $p|needs a letter carried past $p}", p=where), f"the errand past {where}"),
        (say(rng, "{needs a guard for a night $p|wants someone to keep watch $p}", p=there), f"the watch {there}")])
    user = say(rng, "{Is there any work{ here|}?|Do you know of any {work|jobs|quests}?|I'm looking for work.|Any quests for me?|Who needs help around here?|Do you have a quest for me?|How can I earn some coins?|Anyone need a {sword|hand|hero}?}")
    think = say(rng, "{" + WHO + " looks for work.|They want a job.} {I think of $n.|$n the $r has something.} {The task: $s. The pay: $c.|$s, $c coppers.}", n=name, r=role, s=short, c=reward)
    words = say(rng, "{$n the $r|Our $r, $n,|$n, the $r,} $x. {The pay is $c coppers|There are $c coppers in it|$n pays $c coppers}{.|, and a meal from me.|. Will you do it?|. Interested?}", n=name, r=role, x=task, c=reward)
    scene.topic, scene.about = "quest", (name, role, where, reward, short)
    return Turn(scene, user).answer(think, words)


def quest_more(scene):
    """Questions about the work just named, and yes or no to it."""
    if scene.topic != "quest":
        return None
    rng = scene.rng
    name, role, where, reward, short = scene.about
    kind = rng.choice(["yes", "yes", "no", "pay", "where", "who", "raise"])
    home = PEOPLE[role][1]
    values = dict(n=name, r=role, p=where, c=reward, h=home, s=short, f=scene.friend(), m=reward + 5)
    user, think, words = {
        "yes": ("{I'll do it.|I'll take it.|Count me in.|I accept.|Sounds good, I'm in.|Deal.}", "They accept. I send them to $n, $h.",
                "{Brave soul!|Good!|That's the spirit!} {Speak to $n first, $h.|$n lives $h; go there first.|Tell $n that I sent you. The house is $h.}"),
        "no": ("{No, thanks.|That's too dangerous.|Not for me.|I'd rather not.}", "They decline. That is fine.",
               "{No shame in that.|Someone else will, or nobody.|Wise, perhaps. The dead earn nothing.} {Sit and have something instead.|Ask again tomorrow.}"),
        "pay": ("{What's the pay?|What's the reward?|How much does it pay?|What do I get?}", "The pay is $c coppers.",
                "{$c coppers, paid by $n.|The reward is $c coppers.|$n pays $c coppers when it's done.}"),
        "where": ("{Where is that?|Where do I have to go?|Where is it?|Where exactly?}", "It is about $s.",
                  "{You'll have to look around $p. Ask $n for the way.|Go to $p, and keep your eyes open.|You have to go to $p. $n knows more.}"),
        "who": ("{Who is $n?|Where do I find $n?|Whom do I speak to?|Who pays?}", "$n is the $r, $h.",
                "{$n is our $r. You'll find the house $h.|The $r, $n. The house is $h.}"),
        "raise": ("{Make it $m and I'm in.|$c is not enough. $m!|Would $n pay $m?}", "They want $m. $n offers $c. $m - $c = 5 more.",
                  "{That is 5 more than $n offers. Ask, but don't hope.|You'd have to ask $n about $m. I only know of $c.}"),
    }[kind]
    if kind in ("yes", "no"):
        scene.topic = None
    return Turn(scene, say(rng, user, **values)).answer(say(rng, think, **values), say(rng, words, **values))


HEROES = "a young miller|a lame soldier|a shepherd girl|a proud knight|a clever thief|an old fisherman|a lazy cook|the king's youngest daughter|a goblin who loved soup|a bard without a song|two brothers|a blind hunter".split("|")


def story_text(rng, hero=None, beast=None):
    hero = hero or rng.choice(HEROES)
    they, them, their = ("they", "them", "their") if hero == "two brothers" else ("she", "her", "her") if hero in ("a shepherd girl", "the king's youngest daughter") else ("he", "him", "his")
    beast, thing, place = beast or rng.choice(BEASTS), rng.choice(LOST), rng.choice(PLACES)
    the_hero = "the brothers" if hero == "two brothers" else hero if hero.startswith("the ") else "the " + hero.split(" ", 1)[1]
    return say(rng, "{Once there was|Once upon a time there was|Long ago there lived|Many winters ago there was|There was once} $h who wanted {nothing more than|only} $t. "
               "{$e said that it lay hidden $p.|An old woman said that it was kept $p.|In a dream $s saw it lying $p.} "
               "{So, one {cold|bright|foggy} morning, $s set out with {a loaf of bread|a rusty knife|a lantern|nothing but a song}.|So $s packed {a loaf of bread|a lantern|three apples} and went.} "
               "{But $b barred the way.|On the way $s met $b.|There, in the dark, sat $b.} "
               "{\"Give me half of your bread,\" it said, \"and you may pass.\"|\"Answer me a riddle,\" it said, \"or go home.\"|\"What do you want here?\" it asked.|\"Nobody passes,\" it said, \"who cannot make me laugh.\"} "
               "{$u laughed and shared what there was to share.|$u sat down and told the truth.|$u sang until the stars came out.|$u thought for a night and a day, and then gave the right answer.} "
               "{The $n was so pleased that it showed $m the way.|And the $n wept, for nobody had ever been kind to it.|Then the $n let $m go, and gave $m the $x.} "
               "{From that day on $s never went hungry.|And $s came home with the $x and a friend.|They say $s still keeps the $x by the bed.|And the $x? It hangs in a tavern, they say.} "
               "{A kind word opens more doors than a key.|So share your bread, friend.|And that is the whole truth, more or less.|That is why we leave a light in the window.|Never judge a $n by its teeth.}",
               h=hero, t=a_or_an(thing), x=thing, p=place, b=a_or_an(beast), n=beast, s=they, m=them, r=their, u=the_hero, e=say(rng, "{a pedlar|the wind|a raven|an old song}"))


def scene_text(rng):
    """A few lines of narration: how an evening in a tavern begins."""
    guest = say(rng, "{a stranger|a tired knight|a girl with a lantern|an old woman|a boy with a fox on a string|a man without a hat|two soldiers|a pedlar}")
    return say(rng, "{The tavern was|That night the tavern was|It was late, and the tavern was|The room was} {almost empty|full of smoke and laughter|warm and loud|quiet but for the rain}. "
               "{The keeper|Bram|Old Bram} {wiped the counter|stirred the stew|counted the coppers|put another log on the fire}, and {the cat slept on the barrel|the wind pulled at the shutters|somebody hummed a tune|the candles burned low}. "
               "{Then the door opened, and in came|At midnight there was a knock. It was|By the fire sat|Nobody looked up when in walked} $g. "
               "{\"A drink,\" {said|whispered} the newcomer, \"and a bed, if there is one.\"|\"Is there any news?\" came the question.|\"I look for $t,\" said the newcomer, and the room fell silent.|\"I met $b $p,\" said the newcomer, \"and it sends its greetings.\"} "
               "{\"Sit down,\" said the keeper, \"and tell me everything.\"|The keeper nodded and filled a mug.|\"First the soup,\" said the keeper, \"then the story.\"|The keeper smiled. \"You have come to the right place.\"} "
               "{And so the long night began.|Nobody went home early that night.|Outside, it began to snow.|The fire burned until dawn.}",
               g=guest, t=a_or_an(rng.choice(LOST)), b=a_or_an(rng.choice(BEASTS)), p=rng.choice(PLACES))


def story(scene):
    rng = scene.rng
    user = say(rng, "{Tell me a {story|tale}.|Do you know a story?|A story, please!|Tell us a tale{ by the fire|}.|I'd like to hear a story.|Once upon a time...|Can you tell me a story?}")
    scene.topic = None
    text = story_text(rng)
    if rng.random() < 0.4:
        about = rng.choice(HEROES + [a_or_an(b) for b in BEASTS] * 2)
        user = say(rng, "{Tell me a {story|tale} about $x.|Do you know a {story|tale} about $x?|A story about $x, please!|Tell us about $x and how it ended.}", x=about)
        text = story_text(rng, hero=about) if about in HEROES else story_text(rng, beast=about.split(" ", 1)[1])
    return Turn(scene, user).answer(say(rng, "{A story, then.|" + WHO + " wants a tale.} {I think of a good one.|An old one will do.|One with a good end.}"), text, flavour=False)


RIDDLES = [line.split("#") for line in """What has teeth but cannot bite?#a comb
What gets wetter the more it dries?#a towel
What has a neck but no head?#a bottle
What runs all day but never gets tired?#a river
I am tall when I'm young and short when I'm old. What am I?#a candle
What has hands but cannot clap?#a clock
The more you take, the more you leave behind. What are they?#footsteps
What can fill a room but takes up no space?#light
What has one eye but cannot see?#a needle
What goes up but never comes down?#your age
What has roots that nobody sees, and is taller than trees?#a mountain
What breaks when you say its name?#silence
What has keys but opens no door at a feast?#a harp
What follows you all day and leaves at night?#your shadow
What has a bed but never sleeps?#a river
What belongs to you, but others use it more?#your name
What can you catch but never throw?#a cold
What has ears but cannot hear?#a field of corn
What is full of holes and still holds water?#a sponge
What comes once in a minute, twice in a moment, but never in a year?#the letter M
What is lighter than a feather, but no one can hold it long?#your breath
What kind of coat is always put on wet?#a coat of paint
What has four legs but cannot walk?#a table
What falls all winter and never gets hurt?#snow
What can you hold without hands?#your breath""".split("\n")]
ANSWERS = sorted({a for _, a in RIDDLES})


def riddle(scene):
    rng = scene.rng
    question, answer = rng.choice(RIDDLES)
    user = say(rng, "{Tell me a riddle.|Do you know {a riddle|any riddles}?|Ask me a riddle.|A riddle, please.|Give me a riddle.|Let's play riddles.|Another riddle!|I like riddles.}")
    scene.topic, scene.about = "riddle", (question, answer)
    return Turn(scene, user).answer(say(rng, "{A riddle.|They want a riddle.} {One that I know: the answer is $a.|The answer will be $a.}", a=answer),
                                    say(rng, "{Try this one:|Here is one:|Then answer me this:|Listen well:|} ") + question)


def riddle_guess(scene):
    if scene.topic != "riddle":
        return None
    rng = scene.rng
    question, answer = scene.about
    kind = rng.choice(["right", "right", "wrong", "give up"])
    scene.topic = None
    if kind == "right":
        return Turn(scene, say(rng, "{$a?|It's $a.|Is it $a?|$a!|I think it's $a.|The answer is $a.}", a=answer)).answer(
            say(rng, "{The answer is $a.|My riddle's answer: $a.} They said $a. Right.", a=answer), say(rng, "{Right! $a it is.|Yes, $a! {Clever!|You've heard it before!|Well done!}|$a, of course! {You are sharp, $f.|Not bad, $f!}}", a=answer, f=scene.friend()))
    if kind == "wrong":
        guess = rng.choice([a for a in ANSWERS if a != answer])
        scene.topic = "riddle"
        return Turn(scene, say(rng, "{$a?|It's $a.|Is it $a?|$a!|I think it's $a.}", a=guess)).answer(
            say(rng, "{The answer is $a.|My riddle's answer: $a.} They said $g. Wrong.", a=answer, g=guess),
            say(rng, "{No, not $g.|$g? No, $f.|Wrong, but a good try!} {Guess again.|Think harder!|Do you give up?}", g=guess, f=scene.friend()))
    return Turn(scene, say(rng, "{I give up.|I don't know.|Tell me the answer.|No idea.|What is it?|I can't guess it.}")).answer(
        f"They give up. The answer is {answer}.", say(rng, "{It's $a!|The answer is $a.|$a, of course!} {Simple, isn't it?|Now you know.|Tell it to your friends.|}", a=answer))


JOKES = """Why did the dragon eat the knight? It likes canned food.
Why don't skeletons fight? They don't have the guts.
What did the ale say to the mug? Fill me in.
Why did the chicken cross the road? It saw my stew pot.
A ghost came in and asked for brandy. I said: sorry, we don't serve spirits.
How do you count goblins? Quickly, before they count you.
My cook left me. He said he had no thyme.
Why is the smith so popular? She makes good points.
What do you call a wizard who fell asleep? A slow spell.
A horse walked in. I asked: why the long face?
Why was the miller late? He was on a roll.
The thief stole my calendar. He got twelve months.""".split("\n")


def joke(scene):
    rng = scene.rng
    user = say(rng, "{Tell me a joke.|Do you know a joke?|Make me laugh.|A joke, please!|Say something funny.|Another joke!|Do you know any jokes?}")
    scene.topic = None
    return Turn(scene, user).answer(say(rng, "{They want to laugh.|A joke, then.|I know a few jokes.}"), rng.choice(JOKES) + say(rng, "{| Ha!| Get it?| My mother told me that one.| I'll be here all night.}"), flavour=False)


TIPS = """wolf#carry a torch; wolves fear fire
giant spider#burn the webs and watch the ceiling
boar#climb a tree and wait
ghost#be polite; most ghosts only want to talk
goblin#make a great noise, and they run
bear#back away slowly and leave it your lunch
troll#keep it talking until sunrise
bandit#keep your purse in your boot
talking raven#never bet against it
swamp witch#bring her salt and say please
dragon#don't; and if you must, go at noon, when it sleeps
skeleton#use a hammer, not a sword
pixie#turn your coat inside out
giant rat#take Button the cat along
werewolf#bring silver, and stay in at full moon
basilisk#look at it in a mirror only""".split("\n")


def advice(scene):
    """How to deal with a beast."""
    rng = scene.rng
    beast, tip = rng.choice(TIPS).split("#")
    x = a_or_an(beast)
    user = say(rng, "{How do I {fight|kill|beat} $x?|What helps against $x?|Any advice about $x?|I have to fight $x.|What should I do if I meet $x?|Have you ever seen $x?|Are you afraid of $x?|Do you know anything about $x?}", x=x)
    scene.topic = None
    return Turn(scene, user).answer(say(rng, "{Against $x:|They ask about $x. My advice:|$x. What I know:} $t.", x=x, t=tip),
                                    say(rng, "{$x? My advice:|With $x there's one rule:|My uncle met $x once. He said:|Oh, $x is bad news:} $t.{| Good luck, $f!| That's what the old folk say.| And tell me how it went.| If that fails, run.}", x=x, t=tip, f=scene.friend()))


RHYMES = [("{the ale is brown|the sun goes down|there is a road to every town}", "{and so we drink in every town|and nobody shall wear a frown|the king has lost his golden crown}"),
          ("{the fire is bright|the moon is white|the wolves are out tonight}", "{so stay with us and sing all night|and all the lamps are burning bright|and everything will be all right}"),
          ("{the road is long|the wind is strong}", "{but short is every drinking song|and those who stay at home are wrong|so come and sing along}"),
          ("{my love has gone to sea|there is a bird in every tree}", "{and will she still remember me|and I am poor, but I am free|so pour another one for me}"),
          ("{the winter snow is deep|the hills are steep|the river runs so deep}", "{and all the geese are fast asleep|but promises are there to keep|the shepherd counts his sheep}"),
          ("{the cook has burnt the stew|the sky is blue}", "{and no one knows what we shall do|and here's a song for me and you|but friends like you are few}")]


def song_text(rng):
    lines = []
    for first, second in rng.sample(RHYMES, 2):
        lines += [say(rng, "{Oh, |}") + say(rng, first) + ",", say(rng, second) + "."]
    return "\n".join(line[0].upper() + line[1:] for line in lines)


def song(scene):
    rng = scene.rng
    user = say(rng, "{Sing {me|us} a song{, please|}.|Do you know a song?|Sing something!|Can you write me a poem?|A song!|Recite a poem.|How about some music?|Write a poem for me.|Make a rhyme for me.}")
    scene.topic = None
    return Turn(scene, user).answer(say(rng, "{A song. Four lines will do.|They want verses. I make them rhyme.|Four lines, two rhymes.}"), say(rng, "{*clears throat*\n|*sings*\n|}") + song_text(rng), flavour=False)


def dice(scene):
    """A throw: with the tool when there is one, with an excuse when there is none."""
    rng = scene.rng
    sides = rng.choice([6, 6, 6, 20, 20, 4, 8, 10, 12, 100])
    kind = f"{word(sides)}-sided die" if sides <= 20 else f"{sides}-sided die"
    if "roll_dice" not in scene.tools:
        user = say(rng, "{Let's play dice!|Roll the dice{ for me|}.|Do you have dice?|Can you roll a die?|Roll a d$s.}", s=sides)
        return Turn(scene, user).answer("I have no dice here. I say so.", say(rng, "{I have no dice in the house; the mayor took them.|No dice here, $f. Somebody lost a horse last time.|My dice went missing after the harvest feast.|Dice? Not since the brawl.} {A riddle instead?|Shall I tell a riddle?|Sing with me instead!|}", f=scene.friend()))
    mode = rng.choice(["plain", "plain", "match", "beat"])
    got = rng.randint(1, sides)
    result = [f"{got}", f"{got}", '{"result": %d}' % got, '{"sides": %d, "result": %d}' % (sides, got)][scene.result_style]
    call = [("roll_dice", {"sides": sides})]
    if mode == "plain":
        turn = Turn(scene, say(rng, "{Roll a d$s{ for me|}.|Roll a $k.|Throw {the dice|a die} with $s sides.|Please roll a $k for me.|Can you roll a d$s?|I need a roll of a d$s.|Roll 1d$s.}" if sides != 6 else "{Roll a die.|Roll the dice!|Throw the dice for me.|Roll a d6.|Can you roll a die for me?|Let's roll the dice.}", s=sides, k=kind))
        turn.call(say(rng, "{A throw with $s sides.|They want a roll of a d$s.|I roll a die with $s sides.}", s=sides), call, [result])
        return turn.answer(f"The die shows {got}.", say(rng, "{The die shows|It's|You rolled|The dice say|It rolls, it stops:} ", s=sides) + f"{got}" + say(rng, "{!|.|. " + ("Splendid!" if got == sides else "Oh dear." if got == 1 else "{Not bad.|So it goes.|The dice have spoken.}") + "}"))
    guest = rng.randint(1, sides)
    turn = Turn(scene, say(rng, "{I rolled {a|} $g with a d$s. Now you!|Let's see who rolls higher. I have $g of $s. Your turn!|I got $g on a d$s. Beat that!|My roll: $g on a $k. Yours?}".replace("{a|} ", "a " if guest not in (8, 11, 18) else "an "), g=guest, s=sides, k=kind))
    turn.call(say(rng, "{My turn, with $s sides.|They have $g. I roll a d$s too.}", g=guest, s=sides), call, [result])
    if got == guest:
        return turn.answer(f"I rolled {got}, they {guest}. The same.", say(rng, "{$x as well! A draw.|Also $x! Nobody wins.|$x, the same. Once more?}", x=got))
    if got > guest:
        return turn.answer(f"I rolled {got}. {got} is more than {guest}. I win.", say(rng, "{$x! That beats your $g.|$x against $g: I win!|Ha, $x! More than $g. You lose, $f.}", x=got, g=guest, f=scene.friend()))
    return turn.answer(f"I rolled {got}. {got} is less than {guest}. They win.", say(rng, "{Only $x. Your $g wins.|$x against $g: you win, $f!|$x... You beat me with $g.}", x=got, g=guest, f=scene.friend()))
