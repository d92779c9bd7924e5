package inlay

import (
	"bytes"
	"context"
	"runtime"
	"sort"
	"testing"

	"inlay/internal/heap"
)

type nothing struct{}

func (nothing) Propose([]Token, int) ([]Token, error) { return []Token{1}, nil }

func openGenerateClose(t *testing.T, sharing bool) {
	of, err := NewRuntime(RuntimeOptions{Threads: 1, Log: func(LogLevel, string) {}})
	need(t, err)
	use, err := of.Memory(false)
	need(t, err)
	model, err := OpenModel(of, Path(modelPath), ModelOptions{})
	need(t, err)
	session, err := NewSession(model, SessionOptions{ContextLength: 64})
	need(t, err)
	generator, err := NewGenerator(session, GeneratorOptions{MaxTokens: 3, Drafter: nothing{}})
	need(t, err)
	need(t, generator.Prompt("Good evening"))
	_, err = generator.Answer(context.Background())
	need(t, err)
	if sharing {
		share(t, model)
	}
	if _, err := OpenModel(of, Path("/nowhere"), ModelOptions{}); err == nil {
		t.Fatal("opened")
	}
	for _, it := range []interface{ Close() error }{generator, session, model} {
		need(t, it.Close())
	}
	if after, err := of.Memory(false); err != nil || after.Now != use.Now {
		t.Fatal(after, use, err)
	}
	need(t, of.Close())
}

// share is pools, forks in one scratch, batches, grammars, streams, arenas and conversations.
func share(t *testing.T, model *Model) {
	pool, err := NewPool(model, PoolOptions{Tokens: 1024})
	need(t, err)
	options := SessionOptions{ContextLength: 256, Pool: pool}
	plan, err := model.Plan(options)
	need(t, err)
	first, err := NewSession(model, options)
	need(t, err)
	need(t, first.Step(nil, 1))
	state, err := NewArena(plan.PooledSessionHost)
	need(t, err)
	second, err := first.ForkWith(ForkOptions{ShareScratch: true, State: state})
	need(t, err)
	need(t, BeginSteps([]*Session{first, second}, []Token{1, 2}))
	need(t, first.Finish(context.Background()))
	var saved bytes.Buffer
	need(t, first.SaveTo(&saved))
	if second.LoadFrom(bytes.NewReader(saved.Bytes()[:9])) == nil {
		t.Fatal("loaded")
	}
	need(t, second.LoadFrom(&saved))
	need(t, first.Reset())
	grammar, err := NewGrammar(model, GrammarGBNF, `root ::= "yes" | "no"`)
	need(t, err)
	if _, err := NewGrammar(model, GrammarGBNF, "leaf"); err == nil {
		t.Fatal("a grammar")
	}
	chat, err := NewChat(first, ChatOptions{})
	need(t, err)
	need(t, chat.Add("user", "Ale?"))
	need(t, chat.Answer(AnswerOptions{Thinking: ThinkingOff, Grammar: grammar}))
	chat.All(context.Background())(func(_ ChatEvent, err error) bool {
		need(t, err)
		return true
	})
	for _, it := range []interface{ Close() error }{pool, grammar, chat, second, first} {
		need(t, it.Close())
	}
}

// inUse is how many bytes C and Go have given out.
func inUse() int {
	runtime.GC()
	runtime.GC()
	var figures runtime.MemStats
	runtime.ReadMemStats(&figures)
	return heap.InUse() + int(figures.HeapAlloc)
}

func TestAThousandRoundsLeaveNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector keeps memory of its own")
	}
	// What leaks grows in every block of rounds; what is made once does not.
	var growths []int
	before := 0
	for block := 0; block < 10; block++ {
		for i := 0; i < 100; i++ {
			openGenerateClose(t, i%4 == 0)
		}
		now := inUse()
		if block > 0 {
			growths = append(growths, now-before)
		}
		before = now
	}
	sort.Ints(growths)
	t.Logf("bytes that a hundred rounds add, sorted: %v", growths)
	if median := growths[len(growths)/2]; median > 16<<10 {
		t.Fatalf("a hundred rounds leave %d bytes", median)
	}
}
