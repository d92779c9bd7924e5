package inlay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

const modelPath = "../../examples/model/tavern.gguf"

func open(t *testing.T) (*Runtime, *Model) {
	t.Helper()
	runtime, err := NewRuntime(RuntimeOptions{Threads: 1})
	need(t, err)
	model, err := OpenModel(runtime, Path(modelPath), ModelOptions{})
	need(t, err)
	t.Cleanup(func() {
		model.Close()
		runtime.Close()
	})
	return runtime, model
}

func need(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func needStatus(t *testing.T, err error, status Status, words string) {
	t.Helper()
	if !errors.Is(err, status) || !strings.Contains(err.Error(), words) {
		t.Fatalf("%v is not %v with %q", err, status, words)
	}
}

var small = SessionOptions{ContextLength: 256, MTP: true}

func newGenerator(model *Model, options GeneratorOptions) (*Generator, func(), error) {
	session, err := NewSession(model, small)
	if err != nil {
		return nil, nil, err
	}
	generator, err := NewGenerator(session, options)
	if err != nil {
		return nil, nil, err
	}
	return generator, func() {
		generator.Close()
		session.Close()
	}, nil
}

func story(model *Model, options GeneratorOptions) (string, error) {
	options.MaxTokens = 40
	generator, done, err := newGenerator(model, options)
	if err != nil {
		return "", err
	}
	defer done()
	if err := generator.Prompt("Once upon a time"); err != nil {
		return "", err
	}
	return generator.Answer(context.Background())
}

func TestTextComesWithAndWithoutDrafts(t *testing.T) {
	_, model := open(t)
	plain, err := story(model, GeneratorOptions{})
	need(t, err)
	if !strings.HasPrefix(plain, " there was a blind hunter") {
		t.Fatal(plain)
	}
	for _, draft := range []Draft{DraftMTP, DraftLookup, DraftLookupMTP} {
		if text, err := story(model, GeneratorOptions{Draft: draft}); err != nil || text != plain {
			t.Fatal(text, err)
		}
	}
}

func TestErrorsHaveStatusAndWords(t *testing.T) {
	runtime, model := open(t)
	_, err := OpenModel(runtime, Path("/nowhere/at/all.gguf"), ModelOptions{})
	needStatus(t, err, ErrIO, "/nowhere/at/all.gguf")
	_, err = OpenModel(runtime, Path("a\x00b"), ModelOptions{})
	needStatus(t, err, ErrInvalidArgument, "zero byte")
	_, err = OpenModel(runtime, Bytes([]byte("GGUF\x03")), ModelOptions{})
	needStatus(t, err, ErrCorruptFile, "")
	session, err := NewSession(model, SessionOptions{ContextLength: 8})
	need(t, err)
	needStatus(t, session.Prefill(nil, make([]Token, 9)), ErrContextFull, "")
	needStatus(t, session.Step(nil, -1), ErrInvalidArgument, "")
	need(t, session.Close())
	need(t, session.Close())
	needStatus(t, session.Step(nil, 1), ErrWrongState, "closed")
	session.Cancel()
	_, err = NewRuntime(RuntimeOptions{InstructionSet: "none such"})
	needStatus(t, err, ErrUnsupported, "none such")
}

func TestStepsAndVerifiesAgreeAndRewind(t *testing.T) {
	_, model := open(t)
	tokenizer, err := model.Tokenizer()
	need(t, err)
	tokens, err := tokenizer.Encode("Once upon a time there was", false)
	need(t, err)
	steps, err := NewSession(model, small)
	need(t, err)
	defer steps.Close()
	for _, token := range tokens {
		need(t, steps.Step(nil, token))
	}
	expected, err := steps.Logits(0, nil)
	need(t, err)
	verified, err := NewSession(model, small)
	need(t, err)
	need(t, verified.Verify(nil, tokens[:4]))
	need(t, verified.Commit(4))
	forked, err := verified.Fork()
	need(t, err)
	for _, session := range []*Session{verified, forked} {
		need(t, session.Step(nil, tokens[0]))
		need(t, session.Rewind(1))
		for _, token := range tokens[4:] {
			need(t, session.BeginStep(token))
			for done := false; !done; {
				done, _, err = session.Advance(time.Millisecond)
				need(t, err)
			}
		}
		if fmt.Sprint(session.Tokens()) != fmt.Sprint(tokens) {
			t.Fatal(session.Tokens())
		}
		logits, err := session.Logits(0, nil)
		need(t, err)
		for i := range logits {
			if logits[i] != expected[i] {
				t.Fatal(i)
			}
		}
		need(t, session.Close())
	}
	sampler, err := NewSampler(model, SamplerOptions{})
	need(t, err)
	defer sampler.Close()
	token, err := sampler.Sample(expected, tokens, uint64(len(tokens)))
	need(t, err)
	for i := range expected {
		if expected[i] > expected[token] {
			t.Fatal(i, token)
		}
	}
	_, err = sampler.Sample(expected[1:], nil, 0)
	needStatus(t, err, ErrInvalidArgument, "")
}

func TestTextGoesToTokensAndBack(t *testing.T) {
	runtime, model := open(t)
	file, err := OpenFile(runtime, Path(modelPath))
	need(t, err)
	defer file.Close()
	own, err := NewTokenizer(file)
	need(t, err)
	defer own.Close()
	models, err := model.Tokenizer()
	need(t, err)
	for _, tokenizer := range []*Tokenizer{own, models} {
		text := "Grüß Gott, 三 ales! <|im_end|>"
		tokens, err := tokenizer.Encode(text, false)
		need(t, err)
		if back, err := tokenizer.Decode(tokens, true); err != nil || back != text {
			t.Fatal(back, err)
		}
		tokens, err = tokenizer.Encode("<|im_end|>", true)
		need(t, err)
		if len(tokens) != 1 || !tokenizer.IsEnd(tokens[0]) || tokenizer.Find("<|im_end|>") != tokens[0] {
			t.Fatal(tokens)
		}
	}
	info, err := file.Info()
	need(t, err)
	if info.Architecture != "qwen35" || info.Layers != 8 || own.Size() != int(info.VocabularySize) {
		t.Fatal(info)
	}
	tensors, err := file.Tensors()
	need(t, err)
	if tensors[0].Name == "" || tensors[0].Type == "" || tensors[0].Bytes == 0 {
		t.Fatal(tensors[0])
	}
}

func TestThePlanIsWhatIsTaken(t *testing.T) {
	runtime, err := NewRuntime(RuntimeOptions{Threads: 1})
	need(t, err)
	defer runtime.Close()
	file, err := OpenFile(runtime, Path(modelPath))
	need(t, err)
	plan, err := file.Plan(small)
	need(t, err)
	held := func() uint64 {
		use, err := runtime.Memory(false)
		need(t, err)
		return use.Now
	}
	before := held()
	model, err := NewModel(file, ModelOptions{})
	need(t, err)
	withModel := held()
	if withModel-before != plan.ModelHost {
		t.Fatal(withModel-before, plan)
	}
	session, err := NewSession(model, small)
	need(t, err)
	if held()-withModel != plan.SessionHost+plan.ScratchHost {
		t.Fatal(held()-withModel, plan)
	}
	need(t, session.Close())
	inArenas := small
	inArenas.State, err = NewArena(plan.SessionHost)
	need(t, err)
	inArenas.Scratch, err = NewArena(plan.ScratchHost)
	need(t, err)
	session, err = NewSession(model, inArenas)
	need(t, err)
	if held() != withModel {
		t.Fatal(held(), withModel)
	}
	need(t, session.Step(nil, 1))
	need(t, session.Close())
	inArenas.State, err = NewArena(plan.SessionHost - 1)
	need(t, err)
	inArenas.Scratch = nil
	_, err = NewSession(model, inArenas)
	needStatus(t, err, ErrMemoryLimit, "")
	need(t, inArenas.State.Close())
	need(t, model.Close())
	need(t, file.Close())
}

// archive is a storage of the host's.
type archive struct {
	*bytes.Reader
	fault  string
	closed bool
}

func (a *archive) ReadAt(place []byte, offset int64) (int, error) {
	switch a.fault {
	case "panic":
		panic("on purpose")
	case "error":
		return 0, os.ErrPermission
	}
	return a.Reader.ReadAt(place, offset)
}

func (a *archive) Close() error {
	a.closed = true
	return nil
}

func TestModelsComeFromReaders(t *testing.T) {
	runtime, model := open(t)
	expected, err := story(model, GeneratorOptions{})
	need(t, err)
	file, err := os.ReadFile(modelPath)
	need(t, err)
	for _, source := range []Source{Bytes(file), Reader(bytes.NewReader(file))} {
		copied, err := OpenModel(runtime, source, ModelOptions{})
		need(t, err)
		if text, err := story(copied, GeneratorOptions{}); err != nil || text != expected {
			t.Fatal(text, err)
		}
		need(t, copied.Close())
	}
	for _, fault := range []string{"", "panic", "error"} {
		storage := &archive{bytes.NewReader(file), fault, false}
		opened, err := OpenModel(runtime, ReaderAt(storage, int64(len(file))), ModelOptions{})
		switch fault {
		case "":
			need(t, err)
			need(t, opened.Close())
		case "panic":
			needStatus(t, err, ErrIO, "on purpose")
		case "error":
			needStatus(t, err, ErrIO, "")
			if !errors.Is(err, os.ErrPermission) {
				t.Fatal(err)
			}
		}
		if !storage.closed {
			t.Fatal("not closed")
		}
	}
	_, err = OpenFile(runtime, Reader(io.MultiReader(bytes.NewReader(file[:9]), failing{})))
	needStatus(t, err, ErrIO, "")
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestLoadingReportsAndStops(t *testing.T) {
	var lines int
	runtime, err := NewRuntime(RuntimeOptions{Threads: 1, Log: func(LogLevel, string) { lines++; panic("on purpose") }})
	need(t, err)
	defer runtime.Close()
	stop := errors.New("enough")
	for _, given := range []func(done, total uint64) error{
		func(done, total uint64) error { return stop },
		func(done, total uint64) error { panic(stop) },
	} {
		_, err := OpenModel(runtime, Path(modelPath), ModelOptions{ReadAhead: true, Progress: given})
		needStatus(t, err, ErrCancelled, "")
		if !errors.Is(err, stop) {
			t.Fatal(err)
		}
	}
	if lines == 0 {
		t.Fatal("no line")
	}
}

// guess proposes what it knows to come.
type guess struct {
	answer   []Token
	prompt   int
	fault    string
	observed int
}

func (g *guess) Propose(tokens []Token, max int) ([]Token, error) {
	switch g.fault {
	case "panic":
		panic("on purpose")
	case "error":
		return nil, io.ErrNoProgress
	}
	known := g.answer[len(tokens)-g.prompt:]
	if len(known) > max {
		known = known[:max]
	}
	return known, nil
}

func (g *guess) Observe(tokens []Token, accepted int) {
	g.observed += len(tokens)
	if g.fault == "observe" {
		panic("on purpose")
	}
}

func TestADrafterOfTheHostChangesNoTextAndItsPanicIsAnError(t *testing.T) {
	_, model := open(t)
	expected, err := story(model, GeneratorOptions{})
	need(t, err)
	tokenizer, _ := model.Tokenizer()
	answer, _ := tokenizer.Encode(expected, false)
	prompt, _ := tokenizer.Encode("Once upon a time", false)
	drafter := &guess{answer: answer, prompt: len(prompt)}
	if text, err := story(model, GeneratorOptions{Drafter: drafter}); err != nil || text != expected {
		t.Fatal(text, err)
	}
	if drafter.observed < 40 {
		t.Fatal(drafter.observed)
	}
	for fault, words := range map[string]string{"panic": "on purpose", "error": io.ErrNoProgress.Error(), "observe": "on purpose"} {
		_, err := story(model, GeneratorOptions{Drafter: &guess{answer: answer, prompt: len(prompt), fault: fault}})
		needStatus(t, err, ErrCallback, words)
	}
}

func TestAContextCancels(t *testing.T) {
	_, model := open(t)
	session, err := NewSession(model, SessionOptions{ContextLength: 4096})
	need(t, err)
	defer session.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	err = session.Prefill(ctx, make([]Token, 4000))
	needStatus(t, err, ErrCancelled, "")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	need(t, session.Reset())
	need(t, session.Prefill(context.Background(), make([]Token, 100)))

	generator, err := NewGenerator(session, GeneratorOptions{IgnoreEnd: true})
	need(t, err)
	defer generator.Close()
	need(t, generator.Prompt("Once upon a time"))
	streaming, stop := context.WithCancel(context.Background())
	count := 0
	for event := range generator.Stream(streaming) {
		if event.Err == nil {
			count++
		}
		if count == 10 {
			stop()
		}
	}
	stop()
	if count < 10 || count > 12 {
		t.Fatal(count)
	}
	if text, err := generator.Next(context.Background()); err != nil {
		t.Fatal(text, err)
	}
}

func TestASecondGoroutineIsKeptOutAndManySessionsRun(t *testing.T) {
	_, model := open(t)
	expected, err := story(model, GeneratorOptions{})
	need(t, err)
	var group sync.WaitGroup
	for i := 0; i < 4; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			if text, err := story(model, GeneratorOptions{Draft: DraftMTP}); err != nil || text != expected {
				t.Error(text, err)
			}
		}()
	}
	group.Wait()
	session, err := NewSession(model, SessionOptions{ContextLength: 2048})
	need(t, err)
	ended := make(chan error)
	go func() { ended <- session.Prefill(nil, make([]Token, 2000)) }()
	kept := false
	for !kept && session.Position() == 0 {
		if err := session.Close(); err != nil {
			needStatus(t, err, ErrBusy, "")
			kept = true
		} else {
			// The other had not begun.
			break
		}
	}
	if err := <-ended; err != nil && !errors.Is(err, ErrWrongState) {
		t.Fatal(err)
	}
	need(t, session.Close())
}

func TestBudgetsAndFollowingPrompts(t *testing.T) {
	_, model := open(t)
	generator, done, err := newGenerator(model, GeneratorOptions{MaxTokens: 10})
	need(t, err)
	defer done()
	need(t, generator.Prompt("Once upon a time"))
	var text string
	for {
		piece, came, err := generator.Advance(300 * time.Microsecond)
		need(t, err)
		text += piece.Text
		if came && piece.Stop != NotStopped {
			if piece.Stop != StoppedMaxTokens {
				t.Fatal(piece.Stop)
			}
			break
		}
	}
	if _, err := generator.Next(context.Background()); err != io.EOF {
		t.Fatal(err)
	}
	need(t, generator.Prompt(" and"))
	more := ""
	generator.All(context.Background())(func(piece Piece, err error) bool {
		need(t, err)
		more += piece.Text
		return true
	})
	stats, err := generator.Stats()
	need(t, err)
	if more == "" || stats.GeneratedTokens != 20 {
		t.Fatal(more, stats)
	}
	need(t, generator.Session().Reset())
	need(t, generator.Prompt("Once upon a time"))
	if again, err := generator.Answer(context.Background()); err != nil || again != text {
		t.Fatal(again, err)
	}
}

func TestWhatIsSavedGoesOnWithTheSameWords(t *testing.T) {
	_, model := open(t)
	expected, err := story(model, GeneratorOptions{})
	need(t, err)
	generator, done, err := newGenerator(model, GeneratorOptions{MaxTokens: 40})
	need(t, err)
	need(t, generator.Prompt("Once upon a time"))
	var text string
	for i := 0; i < 7; i++ {
		piece, err := generator.Next(context.Background())
		need(t, err)
		text += piece.Text
	}
	saved, err := generator.Save()
	need(t, err)
	done()
	again, done, err := newGenerator(model, GeneratorOptions{MaxTokens: 40})
	need(t, err)
	defer done()
	saved[len(saved)-1] ^= 1
	needStatus(t, again.Load(saved), ErrCorruptFile, "")
	saved[len(saved)-1] ^= 1
	need(t, again.Load(saved))
	rest, err := again.Answer(context.Background())
	need(t, err)
	if text+rest != expected {
		t.Fatal(text + rest)
	}
	session := again.Session()
	mark, err := session.Fork()
	need(t, err)
	defer mark.Close()
	saved, err = session.Save()
	need(t, err)
	need(t, session.Step(nil, 1))
	need(t, session.RewindTo(mark))
	if session.Position() != mark.Position() {
		t.Fatal(session.Position())
	}
	need(t, session.Load(saved))
	if estimate, err := session.Estimate(10, 5, 1); err != nil || estimate.P99 == 0 {
		t.Fatal(estimate, err)
	}
}

// only lets these tokens come but the first.
type only struct {
	tokens []Token
	fault  string
}

func (o *only) Allow(tokens []Token, allowed *Allowed) (bool, error) {
	switch o.fault {
	case "panic":
		panic("on purpose")
	case "error":
		return false, io.ErrNoProgress
	}
	allowed.Only(o.tokens...)
	allowed.Forbid(o.tokens[0])
	return true, nil
}

func TestAMaskSaysWhatMayComeAndItsPanicIsAnError(t *testing.T) {
	_, model := open(t)
	tokenizer, err := model.Tokenizer()
	need(t, err)
	tokens, err := tokenizer.Encode("ale stew bread", false)
	need(t, err)
	text, err := story(model, GeneratorOptions{Mask: &only{tokens, ""}, Draft: DraftMTP})
	need(t, err)
	came, err := tokenizer.Encode(text, false)
	need(t, err)
	if len(came) == 0 || strings.Contains(text, "once") {
		t.Fatal(text)
	}
	for fault, words := range map[string]string{"panic": "on purpose", "error": io.ErrNoProgress.Error()} {
		_, err := story(model, GeneratorOptions{Mask: &only{tokens, fault}})
		needStatus(t, err, ErrCallback, words)
	}
}

const tools = `[{"type":"function","function":{"name":"look_up_price","description":"Price of an item",
	"parameters":{"type":"object","properties":{"item":{"type":"string"}},"required":["item"]}}}]`

func TestAChatCallsToolsAndAnswers(t *testing.T) {
	runtime, model := open(t)
	session, err := NewSession(model, SessionOptions{})
	need(t, err)
	defer session.Close()
	chat, err := NewChat(session, ChatOptions{Generator: &GeneratorOptions{}, Tools: tools})
	need(t, err)
	defer chat.Close()
	hear := func() (heard string) {
		need(t, chat.Answer(AnswerOptions{Thinking: ThinkingOff, StopStrings: []string{"never", "ever said"}}))
		for {
			event, err := chat.Next(context.Background())
			if err == io.EOF {
				return heard
			}
			need(t, err)
			heard += fmt.Sprintf("%d:%s ", event.Kind, event.Text)
		}
	}
	need(t, chat.Add("user", "What does the ale cost today? Look it up."))
	if heard := hear(); !strings.Contains(heard, "3:look_up_price 4:item 5:ale 6:") {
		t.Fatal(heard)
	}
	need(t, chat.Add("tool", "9 coppers"))
	if heard := hear(); !strings.Contains(heard, "9") {
		t.Fatal(heard)
	}
	needStatus(t, chat.AddJSON("{"), ErrInvalidArgument, "")
	need(t, chat.Add("user", "Tell me a tale."))
	need(t, chat.Answer(AnswerOptions{Thinking: ThinkingOff}))
	need(t, chat.Stop())
	for {
		event, err := chat.Next(context.Background())
		need(t, err)
		if event.Kind == ChatEnd {
			if event.Stop != StoppedByHost {
				t.Fatal(event)
			}
			break
		}
	}
	info, err := model.Info()
	need(t, err)
	text, err := runtime.RenderChat(info.ChatTemplate, `{"messages":[{"role":"user","content":"Hi"}]}`)
	need(t, err)
	if text != "<|im_start|>user\nHi<|im_end|>\n" {
		t.Fatal(text)
	}
	_, err = runtime.RenderChat("{{ other }}", "{}")
	needStatus(t, err, ErrChatTemplate, "")
	if options, err := SamplingLively.Options(); err != nil || options.TopK != 20 {
		t.Fatal(options, err)
	}
}
