// A dialogue tree drafts: the game knows what the keeper is likely to say, so the model need only agree.
//
//	sh examples/run.sh host_drafter go
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

var questions = []string{"Hello!", "How much is an ale?", "Tell me a riddle."}

// What the writer has the keeper say; he may say something else.
var lines = []string{
	"Good day, friend! What can I bring you?",
	"Good day, traveller! Sit down, the stew is hot.",
	"A mug of ale? 2 coppers.",
	"A bowl of stew? 4 coppers.",
	"Listen well: What has a bed but never sleeps?",
}

type tree struct {
	thinkEnd inlay.Token // the answer begins with this token
	lines    [][]inlay.Token
}

// Propose gives the rest of the line that the answer has begun with so far.
func (t *tree) Propose(tokens []inlay.Token, max int) ([]inlay.Token, error) {
	begin := len(tokens) - 1
	for begin >= 0 && tokens[begin] != t.thinkEnd {
		begin--
	}
	if begin < 0 {
		return nil, nil
	}
	said := tokens[begin:]
	for _, line := range t.lines {
		if len(line) > len(said) && equal(line[:len(said)], said) {
			return line[len(said):], nil
		}
	}
	return nil, nil
}

func equal(a, b []inlay.Token) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func talk(model *inlay.Model, drafter inlay.Drafter) uint64 {
	session, err := inlay.NewSession(model, inlay.SessionOptions{})
	check(err)
	defer session.Close()
	generator, err := inlay.NewGenerator(session, inlay.GeneratorOptions{Drafter: drafter, DraftLength: 7})
	check(err)
	defer generator.Close()
	before := ""
	for _, question := range questions {
		turn := "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
		check(generator.Prompt(before + "<|im_start|>user\n" + question + turn))
		before = "\n"
		fmt.Printf("> %s\n", question)
		for {
			piece, err := generator.Next(context.Background())
			if err == io.EOF {
				break
			}
			check(err)
			fmt.Print(piece.Text)
		}
		fmt.Println()
	}
	stats, err := generator.Stats()
	check(err)
	return stats.Rounds
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
	tokenizer, err := model.Tokenizer()
	check(err)
	known := &tree{thinkEnd: tokenizer.Find("</think>")}
	for _, line := range lines {
		tokens, err := tokenizer.Encode("</think>\n\n"+line+"<|im_end|>", true)
		check(err)
		known.lines = append(known.lines, tokens)
	}

	alone := talk(model, nil)
	withTree := talk(model, known)
	fmt.Printf("passes of the model: %d alone, %d with the tree\n", alone, withTree)
}
