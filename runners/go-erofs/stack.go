package main

import (
	"io/fs"
	"path"
	"slices"
)

// stack is the layers of an image, the topmost first.
//
// A name is looked up in each layer by its path, links of the layer included; a layer that has no such directory says
// nothing. With one layer alone there is no overlay, so nothing is a whiteout.
type stack []fs.FS

// find tells which layer has what a name stands for.
func (s stack) find(name string) (int, fs.FileInfo, error) {
	for layer := range s {
		info, err := fs.Lstat(s[layer], name)
		if err == nil {
			return layer, info, nil
		}
		if s.opaque(layer, path.Dir(name)) {
			break
		}
	}
	return 0, nil, &fs.PathError{Op: "find", Path: name, Err: fs.ErrNotExist}
}

// children is the names in a directory, those that are deleted left out.
func (s stack) children(name string) ([]string, error) {
	var names []string
	seen := map[string]bool{}
	for layer := range s {
		entries, err := fs.ReadDir(s[layer], name)
		if err != nil && layer == 0 && len(s) == 1 {
			return nil, err
		}
		for _, entry := range entries {
			if !seen[entry.Name()] && !s.whiteout(entry) {
				names = append(names, entry.Name())
			}
			seen[entry.Name()] = true
		}
		if s.opaque(layer, name) {
			break
		}
	}
	slices.Sort(names)
	return names, nil
}

func (s stack) whiteout(entry fs.DirEntry) bool {
	if len(s) == 1 || entry.Type()&fs.ModeCharDevice == 0 {
		return false
	}
	info, err := entry.Info()
	device, ok := info.(interface{ Rdev() uint64 })
	return err == nil && ok && device.Rdev() == 0
}

func (s stack) opaque(layer int, name string) bool {
	info, err := fs.Stat(s[layer], name)
	if err != nil || len(s) == 1 {
		return false
	}
	attributes, ok := info.(interface{ GetXattr(string) (string, bool) })
	if !ok {
		return false
	}
	value, _ := attributes.GetXattr("trusted.overlay.opaque")
	return value == "y"
}
