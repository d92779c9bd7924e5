// Three characters speak in a game that gives them 4 ms a frame, and is saved and loaded while they do.
//
//	sh examples/run.sh game_loop go
//
// builds the library, then this, and runs it with the bundled model. Figures of the frames go to stderr.
package main

import (
	"fmt"
	"log"
	"os"
	"time"

	"inlay"
)

const (
	budget = 4 * time.Millisecond
	turn   = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
)

type character struct {
	name, prompt string
	session      *inlay.Session
	generator    *inlay.Generator
	text         string
	done         bool
}

var cast = []*character{
	{name: "Bram", prompt: "<|im_start|>user\nAny rumours?"},
	{name: "Orla", prompt: "<|im_start|>system\nYou are Orla, keeper of the Blue Boar in Saltford. You are gruff. " +
		"Prices: ale 7, stew 9, torch 2.<|im_end|>\n<|im_start|>user\nWhat do you sell?"},
	{name: "Tilda", prompt: "<|im_start|>system\nYou are Tilda, keeper of the Silver Swan in Oxmoor. You are poetic. " +
		"Prices: ale 3, stew 5, room 12.<|im_end|>\n<|im_start|>user\nGood evening! A room for the night, please."},
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func (c *character) create(model *inlay.Model) {
	var err error
	c.session, err = inlay.NewSession(model, inlay.SessionOptions{ContextLength: 512})
	check(err)
	c.generator, err = inlay.NewGenerator(c.session, inlay.GeneratorOptions{})
	check(err)
}

func (c *character) close() {
	c.generator.Close()
	c.session.Close()
}

// frame lets each speak as far as its time goes, and says how many have more to say.
func frame(first int) (speaking int) {
	deadline := time.Now().Add(budget)
	for i := range cast {
		who := cast[(first+i)%len(cast)]
		for !who.done && time.Now().Before(deadline) {
			piece, came, err := who.generator.Advance(time.Until(deadline))
			check(err)
			if !came {
				break
			}
			who.text += piece.Text
			who.done = piece.Stop != inlay.NotStopped
		}
		if !who.done {
			speaking++
		}
	}
	return speaking
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
	for _, who := range cast {
		who.create(model)
		check(who.generator.Prompt(who.prompt + turn))
	}

	frames, saved, longest := 0, false, time.Duration(0)
	for speaking := len(cast); speaking > 0; frames++ {
		began := time.Now()
		speaking = frame(frames) // and here the game draws, moves, listens
		if took := time.Since(began); took > longest {
			longest = took
		}
		if !saved && len(cast[0].text) > 20 && !cast[0].done {
			for _, who := range cast {
				// The words go on where they were, in a new session: another run of the game, or another machine.
				bytes, err := who.generator.Save()
				check(err)
				who.close()
				who.create(model)
				check(who.generator.Load(bytes))
			}
			fmt.Println("(saved and loaded while Bram speaks)")
			saved = true
		}
	}
	for _, who := range cast {
		fmt.Printf("%s: %s\n", who.name, who.text)
		who.close()
	}
	log.Printf("%d frames of %v for words; the longest took %v", frames, budget, longest)
}
