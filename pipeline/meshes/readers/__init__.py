"""One reader for each format of text or plain bytes; glTF has a package of its own."""
