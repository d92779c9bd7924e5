//go:build !race

package inlay

const raceEnabled = false
