"""Lets random weights write JSON under random schemas, and validates every text with a validator that is not ours.

Usage: json_schema_test.py GRAMMAR_LINES MODEL [SCHEMAS [WEIGHTS [share]]]
500 schemas under the model's own weights and each of 4 random ones; with "share" each schema under one of them.
Exit status 77 where jsonschema is missing.
"""
import json
import random
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    print("no jsonschema (Debian: python3-jsonschema)")
    sys.exit(77)

NAMES = ["name", "id", "a b", "é", "count", "tags", "x-y", "\"q\"", "n1", "kids"]
TEXTS = ["", "ale", "\"", "\\", "酒", "two words", "\n", "0"]
PATTERNS = ["^[a-z]+$", "^\\d{3}-[A-F]*$", "ale", "^(ale|stew|bread)s?$", "^[^\"\\\\]{2,4}$", "\\w\\s\\w", "^.{3}$", "[é-ü]?$",
            "^\\$[0-9]+(\\.[0-9]{2})?$", "^(a|b|)$", "^\\S\\D$"]


def number(rng):
    return rng.choice([rng.randrange(-20, 20), rng.randrange(-10**6, 10**6), round(rng.uniform(-5, 5), 2), rng.uniform(-1, 1)])


def bounds(rng, whole):
    made = {}
    low, high = sorted([number(rng), number(rng)])
    if whole:
        low, high = int(low), int(high) + 3
    else:
        high += 0.5
    if rng.random() < 0.6:
        made[rng.choice(["minimum", "exclusiveMinimum"])] = low
    if rng.random() < 0.6:
        made[rng.choice(["maximum", "exclusiveMaximum"])] = high
    return made


def value(rng, depth=0):
    kind = rng.randrange(6 if depth < 2 else 4)
    if kind == 0:
        return rng.choice([True, False, None])
    if kind == 1:
        return number(rng)
    if kind in (2, 3):
        return rng.choice(TEXTS)
    if kind == 4:
        return [value(rng, depth + 1) for _ in range(rng.randrange(3))]
    return {rng.choice(NAMES): value(rng, depth + 1) for _ in range(rng.randrange(3))}


def schema(rng, depth, refs):
    kind = rng.choice(["string", "string", "integer", "number", "boolean", "null", "enum", "const", "array", "object", "object", "anyOf",
                       "ref", "types", "any"] if depth < 3 else ["string", "integer", "boolean", "enum", "null", "const"])
    if kind == "string":
        made = {"type": "string"}
        if rng.random() < 0.3:
            made["pattern"] = rng.choice(PATTERNS)
        else:
            low = rng.randrange(4)
            if rng.random() < 0.4:
                made["minLength"] = low
            if rng.random() < 0.4:
                made["maxLength"] = low + rng.randrange(12)
        return made
    if kind in ("integer", "number"):
        return {"type": kind, **bounds(rng, kind == "integer")}
    if kind in ("boolean", "null"):
        return {"type": kind, "description": "anything"}
    if kind == "enum":
        return {"enum": [value(rng) for _ in range(rng.randrange(1, 5))]}
    if kind == "const":
        return {"const": value(rng)}
    if kind == "array":
        made = {"type": "array"}
        if rng.random() < 0.9:
            made["items"] = schema(rng, depth + 1, refs)
        if rng.random() < 0.2:
            made["prefixItems"] = [schema(rng, depth + 1, refs) for _ in range(rng.randrange(1, 3))]
        low = rng.randrange(4)
        if rng.random() < 0.4:
            made["minItems"] = low
        if rng.random() < 0.4:
            made["maxItems"] = low + rng.randrange(4)
        return made
    if kind == "object":
        names = rng.sample(NAMES, rng.randrange(5))
        made = {"type": "object", "properties": {name: schema(rng, depth + 1, refs) for name in names}}
        if rng.random() < 0.7:
            made["required"] = [name for name in names if rng.random() < 0.5]
        if rng.random() < 0.6:
            made["additionalProperties"] = rng.choice([False, False, {"type": "integer"}])
        return made
    if kind == "anyOf":
        return {"anyOf": [schema(rng, depth + 1, refs) for _ in range(rng.randrange(1, 4))]}
    if kind == "ref" and refs:
        return {"$ref": rng.choice(refs)}
    if kind == "types":
        return {"type": rng.sample(["string", "integer", "boolean", "null", "array"], rng.randrange(1, 4))}
    return {}


def whole_schema(rng):
    refs = ["#/$defs/one", "#/$defs/tree"]
    made = schema(rng, rng.randrange(2), refs)
    made["$defs"] = {"one": schema(rng, 2, []),
                     "tree": {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 3},
                                                              "of": schema(rng, 2, [])}, "required": ["kids"], "additionalProperties": False}}
    return made


def write(tool, model, lines, weights):
    """What a model with these weights, a number, writes under the schemas; 0: its own."""
    out = subprocess.run([tool, model, str(weights)], input=lines.encode(), stdout=subprocess.PIPE, check=True).stdout
    return [json.loads(line) for line in out.decode().split("\n") if line]


def judge(schemas, results):
    refused = wrong = 0
    for made, result in zip(schemas, results):
        if "error" in result:
            refused += 1
            if not result["error"].startswith(("schema:", "grammar: nothing", "pattern")):
                print("error", result["error"], json.dumps(made))
                wrong += 1
            continue
        try:
            assert result["stop"] == 1, "it did not end by itself"
            jsonschema.validate(json.loads(result["text"], parse_constant=None), made)
        except Exception as error:
            wrong += 1
            print(json.dumps(made, ensure_ascii=False), "\n  ->", repr(result["text"]), "\n  ", str(error).split("\n")[0])
    return refused, wrong


def main():
    tool, model = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 500
    seeds = int(sys.argv[4]) if len(sys.argv) > 4 else 4
    share = len(sys.argv) > 5 and sys.argv[5] == "share"
    rng = random.Random(3)
    schemas = [whole_schema(rng) for _ in range(count)]
    refused = wrong = texts = 0
    for weights in range(seeds + 1):
        some = [made for i, made in enumerate(schemas) if not share or i % (seeds + 1) == weights]
        results = write(tool, model, "\n".join(json.dumps(made) for made in some) + "\n", weights)
        assert len(results) == len(some), (len(results), len(some))
        found = judge(some, results)
        refused += found[0]
        wrong += found[1]
        texts += len(some)
    print(f"{count} schemas, {seeds} random weights and the model's own, {texts} texts, {refused} refused, {wrong} wrong")
    return 0 if wrong == 0 and refused < texts / 20 else 1


sys.exit(main())
