/**
 * Which files of a project make a piece of logic in TypeScript, and the hash that stands for all of them: the file in
 * which `fn()` or `fold()` was called with everything that it imports, the artefacts it was given, and the packages it
 * uses by name and version. Plain data and pure functions.
 *
 * Two pieces of code with the same hash are the same bytes, so the hash is where a copy of them is kept, and a part of
 * the identity of every version that uses them.
 */

import { createHash } from 'node:crypto'
import { posix } from 'node:path'

export interface CodeDef {
  /** Of everything below; in lower-case hex, as all hashes here. */
  readonly hash: string
  /** The file in which the builder was called, relative to the project's folder, with `/`. */
  readonly entry: string
  /** The entry and all that it imports, relative to the project's folder → SHA-256 of its bytes. */
  readonly files: Readonly<Record<string, string>>
  /** By the name under which the logic gets it. */
  readonly artefacts: Readonly<Record<string, ArtefactDef>>
  /** Name → version of the packages that the files import. */
  readonly packages: Readonly<Record<string, string>>
}

/** A file that is given to the logic: parsed JSON, or its bytes. */
export interface ArtefactDef {
  readonly path: string
  readonly hash: string
  readonly format: 'json' | 'binary'
}

/** What a project file's loader knows of one file and all that it imports. */
export interface CodeFiles {
  readonly files: Readonly<Record<string, string>>
  readonly packages: Readonly<Record<string, string>>
}

export function codeDef(
  entry: string,
  { files, packages }: CodeFiles,
  artefacts: CodeDef['artefacts'],
): CodeDef {
  const parts = { entry, files, artefacts, packages }
  return { hash: codeHash(parts), ...parts }
}

/** Of a `CodeDef`'s parts, whatever the order of their keys. */
export function codeHash({ entry, files, artefacts, packages }: Omit<CodeDef, 'hash'>): string {
  const named = sorted(artefacts).map(([name, { path, hash, format }]) => [name, path, hash, format])
  const text = JSON.stringify([entry, sorted(files), named, sorted(packages)])
  return createHash('sha256').update(text).digest('hex')
}

/** All files that a copy of the code has: path relative to the project's folder → hash. */
export function filesOfCode({ files, artefacts }: CodeDef): Readonly<Record<string, string>> {
  const given = Object.values(artefacts).map(({ path, hash }) => [path, hash] as const)
  return { ...files, ...Object.fromEntries(given) }
}

/** Where a file lies within the folder of a copy: one outside of the project's folder has `$up` for each step up. */
export function storedPath(path: string): string {
  return `files/${path
    .split('/')
    .map((part) => (part === '..' ? '$up' : part))
    .join('/')}`
}

/** The other way round, from below `files/`. */
export function projectPath(stored: string): string {
  return stored
    .split('/')
    .map((part) => (part === '$up' ? '..' : part))
    .join('/')
}

/** Whether a path may be one of a code's files: relative, in its shortest form, and no trick in it. */
export function isCodePath(path: string): boolean {
  if (path === '' || path.includes('\\') || path.includes('\0') || posix.isAbsolute(path)) return false
  return posix.normalize(path) === path && !path.endsWith('/') && !path.split('/').includes('$up')
}

/** The file that holds a copy's `CodeDef`, within its folder. */
export const CODE_FILE = 'code.json'

function sorted<T>(record: Readonly<Record<string, T>>): readonly (readonly [string, T])[] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1))
}
