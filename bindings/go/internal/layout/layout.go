// Package layout says how cgo lays out the public structs. It is for the test beside it, which can't use cgo itself.
package layout

// #cgo !inlay_path pkg-config: inlay
// #include <inlay/inlay.h>
import "C"

import (
	"fmt"
	"reflect"
	"strings"
)

// item is a struct's name and its zero value, or an enumerator's name and value.
type item struct {
	name  string
	value any
}

// Describe gives the text that bindings/layout.txt has from C.
func Describe() string {
	var text strings.Builder
	for _, it := range items {
		if value, ok := it.value.(int); ok {
			fmt.Fprintf(&text, "%s %d\n", it.name, value)
			continue
		}
		of := reflect.TypeOf(it.value)
		fmt.Fprintf(&text, "%s %d\n", it.name, of.Size())
		for i := 0; i < of.NumField(); i++ {
			// cgo puts an underscore before Go's own words, and calls what it pads with "_".
			if name := strings.TrimPrefix(of.Field(i).Name, "_"); name != "" && !strings.HasPrefix(name, "cgo") {
				fmt.Fprintf(&text, "%s.%s %d %d\n", it.name, name, of.Field(i).Offset, of.Field(i).Type.Size())
			}
		}
	}
	return text.String()
}
