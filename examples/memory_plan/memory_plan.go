// Every byte before it is taken, and sessions in the host's own memory.
//
//	sh examples/run.sh memory_plan go
//
// builds the library, then this, and runs it with the bundled model.
package main

import (
	"context"
	"errors"
	"fmt"
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
	path := "examples/model/tavern.gguf"
	if len(os.Args) > 1 {
		path = os.Args[1]
	}
	runtime, err := inlay.NewRuntime(inlay.RuntimeOptions{Threads: 1})
	check(err)
	defer runtime.Close()
	file, err := inlay.OpenFile(runtime, inlay.Path(path))
	check(err)
	defer file.Close()
	held := func() uint64 {
		use, err := runtime.Memory(false)
		check(err)
		return use.Now
	}

	// From the file's header alone: nothing is loaded yet.
	names := map[inlay.KVType]string{inlay.KVF16: "f16", inlay.KVFP8: "fp8", inlay.KVQ8: "q8"}
	for _, length := range []uint32{512, 2048, 4096} {
		for _, kind := range []inlay.KVType{inlay.KVF16, inlay.KVFP8, inlay.KVQ8} {
			plan, err := file.Plan(inlay.SessionOptions{ContextLength: length, KVType: kind})
			check(err)
			fmt.Printf("context %d, %s: session %d, of it keys and values %d\n",
				length, names[kind], plan.SessionHost, plan.KVCache)
		}
	}

	// What is then taken is what was planned.
	options := inlay.SessionOptions{ContextLength: 1024, KVType: inlay.KVF16}
	plan, err := file.Plan(options)
	check(err)
	fmt.Printf("planned: model %d, session %d, scratch %d\n", plan.ModelHost, plan.SessionHost, plan.ScratchHost)
	before := held()
	model, err := inlay.NewModel(file, inlay.ModelOptions{})
	check(err)
	defer model.Close()
	withModel := held()
	session, err := inlay.NewSession(model, options)
	check(err)
	fmt.Printf("taken: model %d, session and scratch %d\n", withModel-before, held()-withModel)
	check(session.Close())

	// In the game's own arenas, and with one byte too little.
	options.State, err = inlay.NewArena(plan.SessionHost - 1)
	check(err)
	_, err = inlay.NewSession(model, options)
	var status inlay.Status
	if failed := (*inlay.Error)(nil); errors.As(err, &failed) {
		status = failed.Status
	}
	fmt.Printf("a byte too little: %v\n", status)
	check(options.State.Close())
	options.State, err = inlay.NewArena(plan.SessionHost)
	check(err)
	options.Scratch, err = inlay.NewArena(plan.ScratchHost)
	check(err)
	session, err = inlay.NewSession(model, options)
	check(err)
	defer session.Close()
	fmt.Printf("taken beside the arenas: %d\n", held()-withModel)

	generator, err := inlay.NewGenerator(session, inlay.GeneratorOptions{MaxTokens: 30})
	check(err)
	defer generator.Close()
	prompt := "The tavern was"
	check(generator.Prompt(prompt))
	text, err := generator.Answer(context.Background())
	check(err)
	fmt.Printf("%s%s\n", prompt, text)
}
