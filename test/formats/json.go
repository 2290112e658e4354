// Section 1: JSON files, and the compact JSON that is hashed.
package main

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

type object map[string]any

// parseJSON keeps numbers as float64. Of a name that stands twice the last one counts.
func parseJSON(text string) any {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		refuse("it is not JSON: %v", err)
	}
	if rest := strings.TrimLeft(text[d.InputOffset():], " \t\r\n"); rest != "" {
		refuse("something follows the JSON")
	}
	return value
}

// record is an object with exactly these fields.
func record(what string, value any, names ...string) object {
	m, is := value.(map[string]any)
	if !is {
		refuse("%s is not an object", what)
	}
	for _, name := range names {
		if _, has := m[name]; !has {
			refuse("%s lacks %s", what, name)
		}
	}
	if len(m) != len(names) {
		refuse("%s has unknown fields", what)
	}
	return m
}

func list(what string, value any) []any {
	l, is := value.([]any)
	if !is {
		refuse("%s is not a list", what)
	}
	return l
}

func text(what string, value any) string {
	s, is := value.(string)
	if !is {
		refuse("%s is not a string", what)
	}
	return s
}

// number reads a JSON number as an IEEE 754 double.
func number(what string, value any) float64 {
	n, is := value.(json.Number)
	if !is {
		refuse("%s is not a number", what)
	}
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil {
		return math.Inf(1)
	}
	return f
}

func requireFormat(value any, format float64) {
	if number("format", value) != format {
		refuse("another format")
	}
}

func requireKind(value any, kind string) {
	if text("kind", value) != kind {
		refuse("another kind")
	}
}

func oneOf(what string, value any, words ...string) string {
	s := text(what, value)
	for _, word := range words {
		if s == word {
			return s
		}
	}
	refuse("%s is none of %v", what, words)
	return ""
}

// field is a name with a value; fields of a compact object, in their order.
type field struct {
	name  string
	value any
}

type fields []field

// compact writes strings, whole numbers, nil, []any and fields.
func compact(value any) string {
	var b bytes.Buffer
	writeCompact(&b, value)
	return b.String()
}

func writeCompact(b *bytes.Buffer, value any) {
	switch v := value.(type) {
	case nil:
		b.WriteString("null")
	case string:
		writeString(b, v)
	case float64:
		b.WriteString(strconv.FormatInt(int64(v), 10))
	case []any:
		b.WriteByte('[')
		for i, each := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			writeCompact(b, each)
		}
		b.WriteByte(']')
	case fields:
		b.WriteByte('{')
		for i, each := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			writeString(b, each.name)
			b.WriteByte(':')
			writeCompact(b, each.value)
		}
		b.WriteByte('}')
	default:
		panic("compact: unknown type")
	}
}

var short = map[rune]string{
	'"': `\"`, '\\': `\\`, '\b': `\b`, '\t': `\t`, '\n': `\n`, '\f': `\f`, '\r': `\r`,
}

func writeString(b *bytes.Buffer, s string) {
	b.WriteByte('"')
	for _, r := range s {
		if escape, has := short[r]; has {
			b.WriteString(escape)
		} else if r < 0x20 {
			b.WriteString(`\u00`)
			b.WriteString(strconv.FormatInt(int64(r)+0x100, 16)[1:])
		} else {
			b.Write(utf8.AppendRune(nil, r))
		}
	}
	b.WriteByte('"')
}

// requireDistinct refuses a text that stands twice.
func requireDistinct(what string, texts []string) {
	seen := map[string]bool{}
	for _, each := range texts {
		if seen[each] {
			refuse("%s %s stands twice", what, each)
		}
		seen[each] = true
	}
}
