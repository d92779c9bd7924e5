package inlay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"
)

func newSmall(t *testing.T, model *Model, options SessionOptions) *Session {
	t.Helper()
	options.ContextLength = 1024
	session, err := NewSession(model, options)
	need(t, err)
	t.Cleanup(func() { session.Close() })
	return session
}

func encode(t *testing.T, model *Model, text string) []Token {
	t.Helper()
	tokenizer, err := model.Tokenizer()
	need(t, err)
	tokens, err := tokenizer.Encode(text, false)
	need(t, err)
	return tokens
}

func equal(a, b []float32) bool {
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

func held(t *testing.T, runtime *Runtime, kind MemoryKind) uint64 {
	t.Helper()
	use, err := runtime.MemoryOf(kind, false)
	need(t, err)
	return use.Now
}

func newArena(t *testing.T, bytes uint64) *Arena {
	t.Helper()
	arena, err := NewArena(bytes)
	need(t, err)
	return arena
}

func TestForksShareAPoolsPages(t *testing.T) {
	of, model := open(t)
	file, err := OpenFile(of, Path(modelPath))
	need(t, err)
	defer file.Close()
	options := PoolOptions{Tokens: 1024}
	plan, err := file.PlanPool(options)
	need(t, err)
	before := held(t, of, MemoryState)
	pool, err := NewPool(model, options)
	need(t, err)
	if held(t, of, MemoryState)-before != plan.Host || plan.Pages != 4 || plan.PageTokens != 256 || pool.FreePages() != 4 {
		t.Fatal(plan, pool.FreePages())
	}
	session := newSmall(t, model, SessionOptions{Pool: pool})
	need(t, session.Prefill(nil, make([]Token, 300)))
	fork, err := session.ForkWith(ForkOptions{ShareScratch: true})
	need(t, err)
	if pool.FreePages() != 1 {
		t.Fatal(pool.FreePages())
	}
	needStatus(t, fork.Prefill(nil, make([]Token, 600)), ErrMemoryLimit, "")
	if fork.Position() != 300 || fork.ContextLength() != 1024 {
		t.Fatal(fork.Position(), fork.ContextLength())
	}
	own := newSmall(t, model, SessionOptions{})
	need(t, own.Prefill(nil, make([]Token, 300)))
	need(t, own.Step(nil, 7))
	need(t, session.Step(nil, 7))
	expected, err := own.Logits(0, nil)
	need(t, err)
	if logits, err := session.Logits(0, nil); err != nil || !equal(logits, expected) {
		t.Fatal(err)
	}

	// The sessions keep what they need of the pool.
	need(t, pool.Close())
	need(t, fork.Step(nil, 3))
	_, err = NewSession(model, SessionOptions{Pool: pool})
	needStatus(t, err, ErrWrongState, "closed")
	need(t, fork.Close())
	need(t, session.Close())

	arena := newArena(t, plan.Host)
	options.Arena = newArena(t, plan.Host-1)
	_, err = NewPool(model, options)
	needStatus(t, err, ErrMemoryLimit, "")
	need(t, options.Arena.Close())
	options.Arena = arena
	pool, err = NewPool(model, options)
	need(t, err)
	_, err = NewPool(model, options)
	needStatus(t, err, ErrWrongState, "in use")
	needStatus(t, arena.Close(), ErrWrongState, "in use")
	session = newSmall(t, model, SessionOptions{Pool: pool})
	need(t, pool.Close())
	needStatus(t, arena.Close(), ErrWrongState, "in use")
	need(t, session.Step(nil, 1))
	need(t, session.Close())
	need(t, arena.Close())
	other, err := OpenModel(of, Path(modelPath), ModelOptions{})
	need(t, err)
	defer other.Close()
	pool, err = NewPool(other, PoolOptions{Tokens: 1})
	need(t, err)
	defer pool.Close()
	_, err = NewSession(model, SessionOptions{Pool: pool})
	needStatus(t, err, ErrMismatch, "")
	_, err = NewPool(model, PoolOptions{})
	needStatus(t, err, ErrInvalidArgument, "")
}

func TestABatchStepsSessionsThatShareTheirScratch(t *testing.T) {
	_, model := open(t)
	prompt := encode(t, model, "Once upon a time there was")
	first := newSmall(t, model, SessionOptions{})
	alone := newSmall(t, model, SessionOptions{})
	need(t, first.Prefill(nil, prompt))
	second := newSmall(t, model, SessionOptions{ShareScratch: first})
	need(t, second.Prefill(nil, prompt[:3]))
	third, err := first.ForkWith(ForkOptions{ShareScratch: true})
	need(t, err)
	all := []*Session{first, second, third}
	need(t, BeginSteps(all, prompt[:3]))
	needStatus(t, second.Step(nil, 1), ErrWrongState, "")
	for done := false; !done; {
		done, err = first.Poll()
		need(t, err)
	}
	need(t, alone.Prefill(nil, prompt[:3]))
	need(t, alone.Step(nil, prompt[1]))
	expected, err := alone.Logits(0, nil)
	need(t, err)
	if logits, err := second.Logits(0, nil); err != nil || !equal(logits, expected) {
		t.Fatal(err)
	}
	need(t, third.Step(nil, 9))
	_, err = first.Logits(0, nil)
	needStatus(t, err, ErrWrongState, "")
	need(t, third.RewindTo(first))

	needStatus(t, BeginSteps(nil, nil), ErrInvalidArgument, "")
	needStatus(t, BeginSteps(all, prompt[:2]), ErrInvalidArgument, "")
	needStatus(t, BeginSteps([]*Session{first, alone}, prompt[:2]), ErrInvalidArgument, "share")
	needStatus(t, BeginSteps([]*Session{first, first}, prompt[:2]), ErrBusy, "")
	needStatus(t, BeginSteps(all, []Token{1, 2, -3}), ErrInvalidArgument, "")
	// One that is closed takes the batch with it; its leader stands where it stood.
	position := first.Position()
	need(t, BeginSteps(all, prompt[:3]))
	need(t, second.Close())
	need(t, first.Finish(context.Background()))
	if first.Position() != position {
		t.Fatal(first.Position())
	}
	needStatus(t, BeginSteps(all, prompt[:3]), ErrWrongState, "closed")
	need(t, BeginSteps([]*Session{first, third}, prompt[:2]))
	need(t, first.Close())
	need(t, third.Step(nil, 3))
	need(t, third.Close())
}

func TestABatchAndAnAnswerAreCancelled(t *testing.T) {
	_, model := open(t)
	first := newSmall(t, model, SessionOptions{})
	second := newSmall(t, model, SessionOptions{ShareScratch: first})
	need(t, BeginSteps([]*Session{first, second}, []Token{1, 2}))
	cancelled := make(chan struct{})
	go func() {
		first.Cancel()
		close(cancelled)
	}()
	<-cancelled
	needStatus(t, first.Finish(context.Background()), ErrCancelled, "")
	if first.Position() != 0 || second.Position() != 0 {
		t.Fatal(first.Position(), second.Position())
	}
	need(t, second.Step(nil, 1))
	chat, err := NewChat(first, ChatOptions{Generator: &GeneratorOptions{IgnoreEnd: true}})
	need(t, err)
	defer chat.Close()
	need(t, chat.Add("user", "Tell me a tale."))
	need(t, chat.Answer(AnswerOptions{RepetitionLimit: 1<<32 - 1}))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	err = nil
	chat.All(ctx)(func(_ ChatEvent, failed error) bool { err = failed; return true })
	needStatus(t, err, ErrCancelled, "")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	_, err = chat.Next(context.Background())
	need(t, err)
}

func TestSessionsOfOneScratchKeepOtherGoroutinesOut(t *testing.T) {
	_, model := open(t)
	first := newSmall(t, model, SessionOptions{})
	second := newSmall(t, model, SessionOptions{ShareScratch: first})
	var group sync.WaitGroup
	for _, session := range []*Session{first, second} {
		group.Add(1)
		go func(session *Session) {
			defer group.Done()
			for i := 0; i < 200; i++ {
				err := session.Step(nil, 1)
				if err != nil && !errors.Is(err, ErrBusy) && !errors.Is(err, ErrWrongState) {
					t.Error(err)
				}
				_, _ = session.Logits(0, nil)
			}
		}(session)
	}
	group.Wait()
	need(t, first.Reset())
	need(t, first.Step(nil, 1))
}

func TestAGrammarSaysWhatAnAnswerIs(t *testing.T) {
	of, model := open(t)
	schema := `{"type":"object","properties":{"item":{"enum":["ale","stew"]},"coppers":{"type":"integer","minimum":1,
		"maximum":9}},"required":["item","coppers"]}`
	grammar, err := NewGrammar(model, GrammarJSONSchema, schema)
	need(t, err)
	text, err := story(model, GeneratorOptions{Grammar: grammar})
	need(t, err)
	if !strings.HasPrefix(text, `{"item":`) || !strings.HasSuffix(text, "}") {
		t.Fatal(text)
	}
	rules, err := NewGrammar(model, GrammarGBNF, `root ::= "yes" | "no"`)
	need(t, err)
	var group sync.WaitGroup
	for i := 0; i < 2; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			if text, err := story(model, GeneratorOptions{Grammar: rules}); err != nil || text != "yes" && text != "no" {
				t.Error(text, err)
			}
		}()
	}
	group.Wait()

	session := newSmall(t, model, SessionOptions{})
	chat, err := NewChat(session, ChatOptions{})
	need(t, err)
	defer chat.Close()
	need(t, chat.Add("user", "Is there ale?"))
	need(t, chat.Answer(AnswerOptions{Thinking: ThinkingOff, Grammar: rules}))
	need(t, rules.Close()) // the answer keeps what it needs
	said := ""
	var last ChatEvent
	chat.All(context.Background())(func(event ChatEvent, err error) bool {
		need(t, err)
		if last = event; event.Kind == ChatAnswer {
			said += event.Text
		}
		return true
	})
	if said != "yes" && said != "no" || last.AnswerTime == 0 {
		t.Fatal(said, last)
	}
	needStatus(t, chat.Answer(AnswerOptions{Grammar: rules}), ErrWrongState, "closed")
	_, err = NewGenerator(session, GeneratorOptions{Grammar: rules})
	needStatus(t, err, ErrWrongState, "closed")
	_, err = NewGrammar(model, GrammarGBNF, `root ::= "open`)
	needStatus(t, err, ErrInvalidArgument, "")
	_, err = NewGrammar(model, GrammarJSONSchema, `{"type":"object","patternProperties":{}}`)
	needStatus(t, err, ErrUnsupported, "patternProperties")
	other, err := OpenModel(of, Path(modelPath), ModelOptions{})
	need(t, err)
	defer other.Close()
	_, err = story(other, GeneratorOptions{Grammar: grammar})
	needStatus(t, err, ErrInvalidArgument, "another model")
	need(t, grammar.Close())
}

// faulty takes or gives so many bytes.
type faulty struct {
	bytes.Buffer
	left   int
	panics bool
}

func (f *faulty) take(bytes int) error {
	if f.left -= bytes; f.left >= 0 {
		return nil
	}
	if f.panics {
		panic("on purpose")
	}
	return os.ErrDeadlineExceeded
}

func (f *faulty) Write(from []byte) (int, error) {
	if err := f.take(len(from)); err != nil {
		return 0, err
	}
	return f.Buffer.Write(from)
}

func (f *faulty) Read(to []byte) (int, error) {
	if err := f.take(len(to)); err != nil {
		return 0, err
	}
	return f.Buffer.Read(to)
}

func TestSessionsAndGeneratorsAreSavedToStreams(t *testing.T) {
	_, model := open(t)
	session := newSmall(t, model, SessionOptions{})
	need(t, session.Prefill(nil, encode(t, model, "Once upon a time")))
	var file bytes.Buffer
	need(t, session.SaveTo(&file))
	if saved, err := session.Save(); err != nil || !bytes.Equal(saved, file.Bytes()) {
		t.Fatal(err)
	}
	again := newSmall(t, model, SessionOptions{})
	for _, panics := range []bool{false, true} {
		for _, err := range []error{
			session.SaveTo(&faulty{left: 1000, panics: panics}),
			again.LoadFrom(&faulty{*bytes.NewBuffer(file.Bytes()), 1000, panics}),
		} {
			needStatus(t, err, ErrCallback, "")
			if panics != strings.Contains(err.Error(), "on purpose") || panics == errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
		}
		if again.Position() != 0 {
			t.Fatal(again.Position())
		}
		// What follows in the stream is left there.
		stream := bytes.NewBuffer(append(append([]byte{}, file.Bytes()...), "more"...))
		need(t, again.LoadFrom(stream))
		if stream.String() != "more" || again.Position() != session.Position() {
			t.Fatal(stream.Len(), again.Position())
		}
		need(t, again.Step(nil, 1))
	}
	err := again.LoadFrom(bytes.NewReader(file.Bytes()[:file.Len()/2]))
	needStatus(t, err, ErrCallback, "")
	if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}

	generator, done, err := newGenerator(model, GeneratorOptions{MaxTokens: 20})
	need(t, err)
	defer done()
	need(t, generator.Prompt("Once upon a time"))
	_, err = generator.Next(context.Background())
	need(t, err)
	var saved bytes.Buffer
	need(t, generator.SaveTo(&saved))
	if progress, err := generator.Progress(); err != nil || progress.Position == 0 {
		t.Fatal(progress, err)
	}
	rest, err := generator.Answer(context.Background())
	need(t, err)
	loaded, finished, err := newGenerator(model, GeneratorOptions{MaxTokens: 20})
	need(t, err)
	defer finished()
	needStatus(t, loaded.LoadFrom(bytes.NewReader(file.Bytes())), ErrMismatch, "")
	need(t, loaded.LoadFrom(&saved))
	if text, err := loaded.Answer(context.Background()); err != nil || text != rest {
		t.Fatal(text, err)
	}
}

func TestConversationsAreSavedAndTheirCallsKeptToTheirSchemas(t *testing.T) {
	_, model := open(t)
	given := `[{"type":"function","function":{"name":"look_up_price","description":"Price of an item",
		"parameters":{"type":"object","properties":{"item":{"enum":["stew"]}},"required":["item"]}}}]`
	newChat := func(tools string) *Chat {
		session, err := NewSession(model, SessionOptions{})
		need(t, err)
		chat, err := NewChat(session, ChatOptions{Generator: &GeneratorOptions{}, Tools: tools})
		need(t, err)
		t.Cleanup(func() {
			chat.Close()
			session.Close()
		})
		return chat
	}
	hear := func(chat *Chat) (heard string) {
		need(t, chat.Answer(AnswerOptions{Thinking: ThinkingOff, StrictCalls: true}))
		chat.All(context.Background())(func(event ChatEvent, err error) bool {
			need(t, err)
			heard += fmt.Sprintf("%d:%s ", event.Kind, event.Text)
			return true
		})
		return heard
	}
	chat := newChat(given)
	need(t, chat.Add("user", "What does the ale cost today? Look it up."))
	if heard := hear(chat); !strings.Contains(strings.ReplaceAll(heard, " 5:", ""), "4:itemstew 6:") {
		t.Fatal(heard)
	}
	saved, err := chat.Save()
	need(t, err)
	var streamed bytes.Buffer
	need(t, chat.SaveTo(&streamed))
	if !bytes.Equal(saved, streamed.Bytes()) {
		t.Fatal(len(saved), streamed.Len())
	}
	need(t, chat.Add("tool", "9 coppers"))
	expected := hear(chat)
	loaded, fromStream := newChat(given), newChat(given)
	need(t, loaded.Load(saved))
	need(t, fromStream.LoadFrom(&streamed))
	for _, chat := range []*Chat{loaded, fromStream} {
		need(t, chat.Add("tool", "9 coppers"))
		if heard := hear(chat); heard != expected {
			t.Fatal(heard, expected)
		}
	}
	needStatus(t, chat.SaveTo(&faulty{left: 1000}), ErrCallback, os.ErrDeadlineExceeded.Error())
	needStatus(t, newChat("").Load(saved), ErrMismatch, "")
	needStatus(t, loaded.Load(saved[:len(saved)-1]), ErrCorruptFile, "")
	need(t, loaded.Add("user", "And now?"))
	need(t, loaded.Answer(AnswerOptions{}))
	needStatus(t, loaded.SaveTo(io.Discard), ErrWrongState, "")
}

func TestModelsAndForksLiveInArenas(t *testing.T) {
	of, _ := open(t)
	file, err := OpenFile(of, Path(modelPath))
	need(t, err)
	defer file.Close()
	options := SessionOptions{ContextLength: 1024}
	plan, err := file.Plan(options)
	need(t, err)
	short := newArena(t, plan.ModelHost-1)
	_, err = NewModel(file, ModelOptions{Arena: short})
	needStatus(t, err, ErrMemoryLimit, "")
	need(t, short.Close())
	_, err = NewModel(file, ModelOptions{Arena: short})
	needStatus(t, err, ErrWrongState, "closed")
	before := held(t, of, MemoryModel)
	arena := newArena(t, plan.ModelHost)
	model, err := NewModel(file, ModelOptions{Arena: arena})
	need(t, err)
	if held(t, of, MemoryModel) != before {
		t.Fatal(before)
	}
	session := newSmall(t, model, SessionOptions{})
	need(t, model.Close())
	needStatus(t, arena.Close(), ErrWrongState, "in use") // by the session
	need(t, session.Step(nil, 1))
	stateHeld := held(t, of, MemoryState) + held(t, of, MemoryScratch)
	scratch := newArena(t, plan.ScratchHost)
	fork, err := session.ForkWith(ForkOptions{State: newArena(t, plan.SessionHost), Scratch: scratch})
	need(t, err)
	if held(t, of, MemoryState)+held(t, of, MemoryScratch) != stateHeld {
		t.Fatal(stateHeld)
	}
	third, err := fork.ForkWith(ForkOptions{ShareScratch: true})
	need(t, err)
	need(t, fork.Close())
	needStatus(t, scratch.Close(), ErrWrongState, "in use") // by the third
	need(t, third.Step(nil, 2))
	need(t, session.Step(nil, 2))
	expected, err := session.Logits(0, nil)
	need(t, err)
	if logits, err := third.Logits(0, nil); err != nil || !equal(logits, expected) {
		t.Fatal(err)
	}
	need(t, third.Close())
	need(t, session.Close())
	need(t, arena.Close())
	need(t, scratch.Close())
}

// counting is an allocator that counts what is out, in arenas of ours, which start at multiples of 64.
type counting struct {
	mutex  sync.Mutex
	arenas map[unsafe.Pointer]*Arena
	fault  bool
}

func (c *counting) Allocate(size, alignment uintptr) unsafe.Pointer {
	if c.fault {
		panic("on purpose")
	}
	arena, err := NewArena(uint64(size + alignment))
	if err != nil {
		return nil
	}
	memory := unsafe.Add(arena.aligned, (alignment-uintptr(arena.aligned)%alignment)%alignment)
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.arenas[memory] = arena
	return memory
}

func (c *counting) Release(memory unsafe.Pointer, size, alignment uintptr) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	_ = c.arenas[memory].Close()
	delete(c.arenas, memory)
}

func TestTheHostsAllocatorIsUsedAndAFileLiesInMemory(t *testing.T) {
	memory := &counting{arenas: map[unsafe.Pointer]*Arena{}}
	of, err := NewRuntime(RuntimeOptions{Threads: 1, Allocator: memory})
	need(t, err)
	file, err := os.ReadFile(modelPath)
	need(t, err)
	place := newArena(t, uint64(len(file)))
	copy(unsafe.Slice((*byte)(place.aligned), len(file)), file)
	model, err := OpenModel(of, Memory(place.aligned, int64(len(file))), ModelOptions{})
	need(t, err)
	need(t, of.Close()) // the model keeps it
	if text, err := story(model, GeneratorOptions{}); err != nil || text == "" || len(memory.arenas) == 0 {
		t.Fatal(text, err)
	}
	memory.fault = true
	_, err = NewSession(model, SessionOptions{})
	needStatus(t, err, ErrOutOfMemory, "")
	need(t, model.Close())
	need(t, place.Close())
	if len(memory.arenas) != 0 {
		t.Fatal(len(memory.arenas))
	}
	_, err = NewRuntime(RuntimeOptions{Allocator: memory})
	needStatus(t, err, ErrOutOfMemory, "")
}

func TestAFileThatIsCutShortIsAnError(t *testing.T) {
	of, err := NewRuntime(RuntimeOptions{Threads: 1, GuardMappings: true})
	need(t, err)
	defer of.Close()
	file, err := os.ReadFile(modelPath)
	need(t, err)
	path := filepath.Join(t.TempDir(), "tavern.gguf")
	need(t, os.WriteFile(path, file, 0o600))
	model, err := OpenModel(of, Path(path), ModelOptions{})
	need(t, err)
	defer model.Close()
	session := newSmall(t, model, SessionOptions{})
	need(t, session.Step(nil, 1))
	need(t, os.Truncate(path, int64(len(file)/4)))
	needStatus(t, session.Step(nil, 2), ErrIO, "")
	if session.Position() != 1 {
		t.Fatal(session.Position())
	}
	saved, err := session.Save()
	need(t, err)
	// Go's own signals are as ever: a nil dereference panics.
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	var nothing *[]byte
	saved[0] = (*nothing)[0]
}

func TestChatsAreRenderedAsAFormatSays(t *testing.T) {
	of, model := open(t)
	info, err := model.Info()
	need(t, err)
	format, err := of.ChatFormat(info.ChatTemplate)
	need(t, err)
	json := `{"messages":[{"role":"user","content":"Hi <|im_end|>"}],"add_generation_prompt":true}`
	text, err := of.RenderChatAs(format, json)
	need(t, err)
	tokenizer, err := model.Tokenizer()
	need(t, err)
	tokens, err := of.RenderChatTokens(tokenizer, format, json)
	need(t, err)
	if back, err := tokenizer.Decode(tokens, true); err != nil || back != text || format.Name != "tavern" {
		t.Fatal(back, text, err)
	}
	ends := 0
	for _, token := range tokens {
		if tokenizer.IsEnd(token) {
			ends++
		}
	}
	if ends != 1 {
		t.Fatal(tokens)
	}
	chat, err := NewChat(newSmall(t, model, SessionOptions{}), ChatOptions{Format: &format})
	need(t, err)
	need(t, chat.Add("user", "Good evening."))
	need(t, chat.Answer(AnswerOptions{MaxTokens: 4}))
	if event, err := chat.Next(context.Background()); err != nil || event.Text == "" {
		t.Fatal(event, err)
	}
	need(t, chat.Close())
	need(t, chat.Close())
	needStatus(t, chat.Add("user", "Hello?"), ErrWrongState, "closed")
}

func TestTheMTPHeadsLogitsAreRows(t *testing.T) {
	_, model := open(t)
	session := newSmall(t, model, SessionOptions{MTP: true})
	rows, err := session.MTPLogits([]Token{1, 2, 3})
	need(t, err)
	if len(rows) != 2*model.vocabulary || session.Position() != 0 {
		t.Fatal(len(rows))
	}
	need(t, session.Step(nil, 1))
	_, err = session.MTPLogits([]Token{1, 2})
	needStatus(t, err, ErrWrongState, "")
}

func TestPackingReportsAndStops(t *testing.T) {
	of, _ := open(t)
	output := filepath.Join(t.TempDir(), "tavern.inlay")
	calls := 0
	need(t, of.PackWith(modelPath, output, PackOptions{Progress: func(uint64, uint64) error { calls++; return nil }}))
	file, err := OpenFile(of, Path(output))
	need(t, err)
	defer file.Close()
	need(t, file.Verify(nil))
	if calls == 0 {
		t.Fatal("no call")
	}
	err = of.PackWith(modelPath, output+"2", PackOptions{Progress: func(uint64, uint64) error { panic("on purpose") }})
	needStatus(t, err, ErrCancelled, "on purpose")
	need(t, of.PackWith(modelPath, output+"1", PackOptions{Layout: "cuda"}))
	_, err = OpenModel(of, Path(output+"1"), ModelOptions{})
	needStatus(t, err, ErrUnsupported, "")
	needStatus(t, of.PackWith(modelPath, output+"2", PackOptions{Layout: "none such"}), ErrInvalidArgument, "none such")
	err = of.PackWith(modelPath, output+"2", PackOptions{Quantisation: "q4_k_m", Imatrix: "/nowhere"})
	needStatus(t, err, ErrIO, "/nowhere")
}

// What nobody closes is given back when nothing refers to it any more.
func TestWhatIsForgottenIsGivenBack(t *testing.T) {
	of, model := open(t)
	before := held(t, of, MemoryState)
	func() {
		pool, err := NewPool(model, PoolOptions{Tokens: 256})
		need(t, err)
		session, err := NewSession(model, SessionOptions{Pool: pool})
		need(t, err)
		_, err = session.ForkWith(ForkOptions{ShareScratch: true})
		need(t, err)
		generator, err := NewGenerator(session, GeneratorOptions{Drafter: nothing{}, MaxTokens: 3})
		need(t, err)
		need(t, generator.Prompt("Good evening"))
		_, err = generator.Answer(context.Background())
		need(t, err)
	}()
	if held(t, of, MemoryState) == before {
		t.Fatal(before)
	}
	for i := 0; i < 100 && held(t, of, MemoryState) != before; i++ {
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
	if held(t, of, MemoryState) != before {
		t.Fatal(held(t, of, MemoryState), before)
	}
}
