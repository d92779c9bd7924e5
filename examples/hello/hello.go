// A file to text.
//
//	sh examples/run.sh hello go
//
// builds the library, then this, and runs it with the bundled model. In a module that requires inlay:
//
//	go run hello.go MODEL.gguf
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"inlay"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	path, prompt := "examples/model/tavern.gguf", "Once upon a time"
	if len(os.Args) > 1 {
		path = os.Args[1]
	}
	if len(os.Args) > 2 {
		prompt = os.Args[2]
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
	generator, err := inlay.NewGenerator(session, inlay.GeneratorOptions{MaxTokens: 200})
	check(err)
	defer generator.Close()

	check(generator.Prompt(prompt))
	fmt.Print(prompt)
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
