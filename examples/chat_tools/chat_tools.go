// A conversation with two tools: the model asks for them, the game answers, the model goes on.
//
//	sh examples/run.sh chat_tools go
//
// builds the library, then this, and runs it with the bundled model.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"inlay"
)

const tools = `[
	{"type":"function","function":{"name":"look_up_price","description":"Price of an item",
	 "parameters":{"type":"object","properties":{"item":{"type":"string"}},"required":["item"]}}},
	{"type":"function","function":{"name":"roll_dice","description":"Roll a die",
	 "parameters":{"type":"object","properties":{"sides":{"type":"integer"}},"required":["sides"]}}}]`

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// call is what the game knows.
func call(tool, argument string) string {
	switch {
	case tool == "look_up_price" && argument == "ale":
		return "9 coppers"
	case tool == "look_up_price":
		return "not found"
	case tool == "roll_dice":
		return "17"
	}
	return "no such tool"
}

// answer hears one answer of the model's and answers its calls. It returns how many there were.
func answer(chat *inlay.Chat) int {
	var calls []struct{ tool, argument string }
	check(chat.Answer(inlay.AnswerOptions{Thinking: inlay.ThinkingOff}))
	for {
		event, err := chat.Next(context.Background())
		if err == io.EOF {
			break
		}
		check(err)
		switch event.Kind {
		case inlay.ChatAnswer:
			fmt.Print(event.Text)
		case inlay.ChatCallBegin:
			fmt.Printf("[%s", event.Text)
			calls = append(calls, struct{ tool, argument string }{event.Text, ""})
		case inlay.ChatArgument:
			fmt.Printf(" %s=", event.Text)
		case inlay.ChatArgumentText:
			fmt.Print(event.Text)
			calls[event.Call].argument += event.Text
		case inlay.ChatCallEnd:
			fmt.Print("]")
		}
	}
	fmt.Println()
	for _, it := range calls {
		check(chat.Add("tool", call(it.tool, it.argument)))
	}
	return len(calls)
}

func main() {
	path := "examples/model/tavern.gguf"
	if len(os.Args) > 1 {
		path = os.Args[1]
	}
	runtime, err := inlay.NewRuntime(inlay.RuntimeOptions{})
	check(err)
	defer runtime.Close()
	model, err := inlay.OpenModel(runtime, inlay.Path(path), inlay.ModelOptions{})
	check(err)
	defer model.Close()
	session, err := inlay.NewSession(model, inlay.SessionOptions{})
	check(err)
	defer session.Close()
	greedy := &inlay.GeneratorOptions{}
	chat, err := inlay.NewChat(session, inlay.ChatOptions{Generator: greedy, Tools: tools})
	check(err)
	defer chat.Close()
	for _, question := range []string{"What does the ale cost today? Look it up.", "Roll a d20!"} {
		fmt.Printf("> %s\n", question)
		check(chat.Add("user", question))
		for answer(chat) > 0 {
		}
	}
}
