/** The files of the repository as the tidy tests see them: what git would track, read once. No other state. */

import { globSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

export interface SourceFile {
  /** Path from the repository's root, with forward slashes. */
  readonly path: string
  readonly text: string
}

const skipped =
  /(^|\/)(node_modules|dist|\.git|\.refold|lost\+found)(\/|$)|\.tgz$|^package-lock\.json$|\.(parquet|png|sqlite)$/

export function filesOf(...patterns: readonly string[]): readonly SourceFile[] {
  return globSync([...patterns], { cwd: root, exclude: (name) => skipped.test(name.replaceAll('\\', '/')) })
    .map((file) => file.replaceAll('\\', '/'))
    .filter((file) => !skipped.test(file))
    .sort()
    .map((file) => ({ path: file, text: readFileSync(path.join(root, file), 'utf8') }))
}

export function read(file: string): string {
  return readFileSync(path.join(root, file), 'utf8')
}

/** What a module imports: static, dynamic, re-exports and types alike. */
export function importsOf(text: string): readonly string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '')
  const found = code.matchAll(/(?:\bfrom\s+|\bimport\s*\(\s*|^\s*import\s+)(['"])([^'"\n$]+)\1/gm)
  return [...found].map((match) => match[2] ?? '')
}
