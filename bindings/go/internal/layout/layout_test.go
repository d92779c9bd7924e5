package layout

import (
	"os"
	"strings"
	"testing"
)

func TestEveryStructIsAsInC(t *testing.T) {
	file, err := os.ReadFile("../../../layout.txt")
	if err != nil {
		t.Fatal(err)
	}
	ofC, ours := strings.Split(string(file), "\n"), strings.Split(Describe(), "\n")
	for i := range ofC {
		if i >= len(ours) || ours[i] != ofC[i] {
			t.Fatalf("line %d of layout.txt: C has %q, Go has %q", i+1, ofC[i], ours[min(i, len(ours)-1)])
		}
	}
	if len(ours) != len(ofC) {
		t.Fatalf("C has %d lines, Go %d", len(ofC), len(ours))
	}
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}
