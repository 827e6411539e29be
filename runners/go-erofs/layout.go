package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Annotations map[string]string `json:"annotations"`
}

// layers is the files of an image's layers, the base layer first. As in apko their digests are not compared.
func layers(layout, tag string) ([]string, error) {
	var index struct {
		Manifests []descriptor `json:"manifests"`
	}
	if err := read(filepath.Join(layout, "index.json"), &index); err != nil {
		return nil, err
	}
	var tagged []descriptor
	for _, one := range index.Manifests {
		if one.Annotations["org.opencontainers.image.ref.name"] == tag {
			tagged = append(tagged, one)
		}
	}
	if len(tagged) != 1 {
		return nil, fmt.Errorf("%d manifests with the tag %q", len(tagged), tag)
	}
	var manifest struct {
		Layers []descriptor `json:"layers"`
	}
	file, err := blob(layout, tagged[0])
	if err != nil {
		return nil, err
	}
	if err := read(file, &manifest); err != nil {
		return nil, err
	}
	var files []string
	for _, layer := range manifest.Layers {
		if layer.MediaType != "application/vnd.erofs" {
			return nil, fmt.Errorf("a layer of the type %q", layer.MediaType)
		}
		if role := layer.Annotations["org.erofs.role"]; role != "" && role != "overlay-lower" {
			return nil, fmt.Errorf("a layer with the role %q", role)
		}
		file, err := blob(layout, layer)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	if files == nil {
		return nil, fmt.Errorf("an image without layers")
	}
	return files, nil
}

func blob(layout string, one descriptor) (string, error) {
	algorithm, encoded, found := strings.Cut(one.Digest, ":")
	if !found || strings.ContainsAny(one.Digest, "/.") {
		return "", fmt.Errorf("%q is no digest", one.Digest)
	}
	return filepath.Join(layout, "blobs", algorithm, encoded), nil
}

func read(file string, into any) error {
	bytes, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(bytes, into)
}
