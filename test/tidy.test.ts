/**
 * The shape of the source: layers without a way back, a comment at the head of each module, lengths, names, and
 * words that have no place in it. Lengths of functions are held by the linter (`biome.json`). Shares nothing with
 * the code under test: it reads the files as text.
 */

import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { blind, faces, layers, owners } from './support/layers.ts'
import { filesOf, importsOf } from './support/source-files.ts'

const sources = filesOf('src/**/*.ts')
const scripts = filesOf(
  'scripts/**/*.ts',
  'bench/**/*.ts',
  'test/**/*.ts',
  'examples/**/*.ts',
  'templates/**/*.ts',
)
const everything = filesOf('**/*.{ts,md,json,sql,sh,yml}', '.ci/*', 'NOTICE')

function isTest(file: string): boolean {
  return file.endsWith('.test.ts') || file.startsWith('test/')
}

function none(findings: readonly string[], what: string): void {
  assert.equal(findings.length, 0, `${what}:\n  ${findings.join('\n  ')}`)
}

test('every folder of src is a declared layer', () => {
  const folders = new Set(
    sources.filter((file) => file.path.split('/').length > 2).map((file) => file.path.split('/')[1]),
  )
  none(
    [...folders].filter((folder) => !(layers as readonly string[]).includes(folder ?? '')).map(String),
    'folders that test/support/layers.ts does not declare',
  )
  const loose = sources.filter((file) => file.path.split('/').length === 2).map((file) => file.path.slice(4))
  none(
    loose.filter((file) => !faces.includes(file)),
    'modules that stand in no folder',
  )
})

test('imports only go down the layers', () => {
  const findings: string[] = []
  for (const { path: file, text } of sources) {
    const own = file.split('/')[1] ?? ''
    if (faces.includes(own) || file.endsWith('.test.ts')) continue
    for (const specifier of importsOf(text)) {
      if (!specifier.startsWith('.')) continue
      const target = path.posix.join(path.posix.dirname(file), specifier).split('/')
      const other = target[1] ?? ''
      if (target[0] !== 'src') findings.push(`${file} imports ${specifier}, outside src`)
      else if (faces.includes(other)) findings.push(`${file} imports the public face ${specifier}`)
      else if (layerOf(other) > layerOf(own)) findings.push(`${file} imports ${specifier}, a higher layer`)
      else if (blind[own]?.includes(other))
        findings.push(`${file} imports ${specifier}, which it must not know`)
    }
  }
  none(findings, 'imports against the layers')
})

function layerOf(folder: string): number {
  return (layers as readonly string[]).indexOf(folder)
}

test('a library is imported by its owner alone', () => {
  const findings: string[] = []
  for (const { path: file, text } of sources) {
    if (file.endsWith('.test.ts')) continue
    const own = file.split('/')[1] ?? ''
    for (const specifier of importsOf(text)) {
      if (specifier.startsWith('.') || (specifier.startsWith('node:') && owners[specifier] === undefined))
        continue
      const library = specifier.startsWith('@')
        ? specifier.split('/').slice(0, 2).join('/')
        : specifier.split('/')[0]
      const owner = owners[specifier] ?? owners[library ?? '']
      if (owner === undefined) findings.push(`${file} imports ${specifier}, which no folder owns`)
      else if (!owner.includes(own))
        findings.push(`${file} imports ${specifier}, which ${owner.join(', ')} owns`)
    }
  }
  none(findings, 'imports of libraries')
})

test('relative imports name the file, and modules do not import each other in a circle', () => {
  const graph = new Map<string, readonly string[]>()
  const findings: string[] = []
  for (const { path: file, text } of [...sources, ...scripts]) {
    const relative = importsOf(text).filter((specifier) => specifier.startsWith('.'))
    for (const specifier of relative) {
      if (!/\.(ts|json|sql)$/.test(specifier)) findings.push(`${file} imports ${specifier}`)
    }
    if (!file.endsWith('.test.ts')) {
      const loaded = importsOf(withoutTypes(text)).filter((specifier) => specifier.startsWith('.'))
      graph.set(
        file,
        loaded.map((specifier) => path.posix.join(path.posix.dirname(file), specifier)),
      )
    }
  }
  none(findings, 'imports without the .ts ending')
  none(circles(graph), 'circles of modules')
})

/** Imports of types are gone when the module runs, so that they make no circle of loading. */
function withoutTypes(text: string): string {
  return text.replace(/^(import|export) type [^;]*?from '[^']+'/gm, '')
}

function circles(graph: ReadonlyMap<string, readonly string[]>): readonly string[] {
  const done = new Set<string>()
  const found: string[] = []
  function visit(file: string, trail: readonly string[]): void {
    if (trail.includes(file)) found.push([...trail.slice(trail.indexOf(file)), file].join(' → '))
    if (done.has(file) || trail.includes(file)) return
    for (const next of graph.get(file) ?? []) visit(next, [...trail, file])
    done.add(file)
  }
  for (const file of graph.keys()) visit(file, [])
  return found
}

test('every module opens with a comment about itself', () => {
  const findings = [...sources, ...scripts]
    // A template is what users begin with: it explains itself line by line.
    .filter(({ path: file }) => !file.startsWith('templates/'))
    .filter(({ text }) => {
      const head = text.replace(/^#!.*\n/, '')
      const comment = /^\/\*\*[\s\S]*?\*\/|^(\/\/.*\n)+/.exec(head)
      return (comment?.[0] ?? '').replace(/[\s*/]+/g, ' ').trim().length < 25
    })
    .map((file) => file.path)
  none(findings, 'modules without a word about themselves')
})

test('files are short', () => {
  const findings = [...sources, ...scripts]
    .map((file) => ({ file: file.path, lines: file.text.split('\n').length - 1 }))
    .filter(({ file, lines }) => lines >= (isTest(file) ? 1000 : 500))
    .map(({ file, lines }) => `${file}: ${lines} lines`)
  none(findings, 'files of 500 lines and more (tests: 1,000)')
})

test('no module is a drawer, and none but the public face re-exports', () => {
  const drawers = [...sources, ...scripts].filter(({ path: file }) =>
    /(^|\/)(utils?|helpers?|misc|common|shared|index)\.ts$/.test(file),
  )
  none(
    drawers.map((file) => file.path).filter((file) => file !== 'src/index.ts'),
    'modules named for nothing',
  )
  const barrels = sources.filter(
    ({ path: file, text }) => !faces.includes(file.slice(4)) && /^export\s+(\*|\{[^}]*\})\s+from/m.test(text),
  )
  none(
    barrels.map((file) => file.path),
    'modules that re-export',
  )
})

/** A pattern, and why what it matches has no place in the repository. This file is not searched. */
const banned: readonly (readonly [RegExp, string])[] = [
  [/\b(TODO|FIXME|XXX|HACK)\b(?!\()/, 'a note without an owner: TODO(name)'],
  [/(^|[\s"'`(=])\/(?:work|root|home|Users)\/[a-z]/, 'a path of one machine'],
  [/registry\.[a-z]+\.(com|org|net|io|dev)\b|_authToken/, 'a registry'],
  [
    /\bas a[n] AI\b|language[ ]model|\b[Cc]hat[G]PT\b|\bClaud[e]\b|\bAnthropi[c]\b/,
    'talk about how it was written',
  ],
  [/\b[Ii]ssue [#]?\d+\b|\bthis [s]ession\b|\bmain j[o]b\b/, 'talk about the workplace'],
]

test('no text has words that have no place in it', () => {
  const findings: string[] = []
  for (const { path: file, text } of everything) {
    if (file === 'test/tidy.test.ts') continue
    text.split('\n').forEach((line, index) => {
      for (const [pattern, why] of banned) {
        if (pattern.test(line)) findings.push(`${file}:${index + 1}: ${why}: ${line.trim().slice(0, 100)}`)
      }
    })
  }
  none(findings, 'banned words')
})

test('source has no escape from the type checker', () => {
  const escapes = /@ts-(ignore|nocheck|expect-error)|biome-ignore(?! [a-zA-Z/]+: \S)|\bas any\b/
  const findings: string[] = []
  for (const { path: file, text } of sources) {
    if (file.endsWith('.test.ts')) continue
    text.split('\n').forEach((line, index) => {
      if (escapes.test(line)) findings.push(`${file}:${index + 1}: ${line.trim()}`)
    })
  }
  none(findings, 'escapes')
})
