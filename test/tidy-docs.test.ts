/**
 * The documents: every path that they name exists, every `npm run` command and every link too, and the words that
 * ARCHITECTURE.md uses for folders are the folders. Shares nothing with the source.
 */

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { layers } from './support/layers.ts'
import { filesOf, read, root } from './support/source-files.ts'

const documents = filesOf('*.md', 'docs/**/*.md', 'src/**/*.md', 'bench/**/*.md')
const scripts = (JSON.parse(read('package.json')) as { readonly scripts: Readonly<Record<string, string>> })
  .scripts

test('every path that a document names exists', () => {
  const missing: string[] = []
  for (const { path: file, text } of documents) {
    for (const [, named = ''] of text.matchAll(
      /`((?:src|test|scripts|bench|docs|examples|templates|\.ci)\/[\w./*-]*)`/g,
    )) {
      if (!named.includes('*') && !existsSync(path.join(root, named))) missing.push(`${file}: ${named}`)
    }
  }
  assert.deepEqual(missing, [])
})

test('every relative link of a document leads to a file', () => {
  const broken: string[] = []
  for (const { path: file, text } of documents) {
    for (const [, target = ''] of text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      if (!existsSync(path.join(root, path.dirname(file), target))) broken.push(`${file}: ${target}`)
    }
  }
  assert.deepEqual(broken, [])
})

test('every npm script that a document names exists, and every script is documented', () => {
  const unknown: string[] = []
  for (const { path: file, text } of documents) {
    for (const [, name = ''] of text.matchAll(/`npm run ([a-z]+)/g)) {
      if (scripts[name] === undefined) unknown.push(`${file}: npm run ${name}`)
    }
  }
  assert.deepEqual(unknown, [])
  const guide = read('CONTRIBUTING.md')
  const silent = Object.keys(scripts).filter((name) => name !== 'test' && name !== 'prepack')
  assert.deepEqual(
    silent.filter((name) => !guide.includes(`npm run ${name}`)),
    [],
  )
})

test('src/README.md walks the layers, each of them once', () => {
  const walked = [...read('src/README.md').matchAll(/^\*\*`(\w+)\/`\*\*/gm)].map((match) => match[1])
  const present = layers.filter((layer) => existsSync(path.join(root, 'src', layer)))
  assert.deepEqual([...walked].sort(), [...present].sort())
})
