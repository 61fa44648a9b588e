/** Which version of a package a file would import, and of which package a file is a part. No state. */

import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'

/** Version of the package `name` as a file at `from` finds it: the nearest `node_modules` upwards. */
export function packageOf(from: string, name: string): string | undefined {
  for (let folder = path.dirname(from); ; folder = path.dirname(folder)) {
    const found = readManifest(path.join(folder, 'node_modules', name, 'package.json'))
    if (found !== undefined) return found.version ?? ''
    if (path.dirname(folder) === folder) return undefined
  }
}

/** Name and version of the package that a file below `node_modules` belongs to. */
export function packageAround(file: string): { readonly name: string; readonly version: string } | undefined {
  const parts = file.split(path.sep)
  const at = parts.lastIndexOf('node_modules')
  if (at < 0) return undefined
  const name = parts.slice(at + 1, at + (parts[at + 1]?.startsWith('@') ? 3 : 2)).join('/')
  const found = readManifest(path.join(parts.slice(0, at + 1).join(path.sep), name, 'package.json'))
  return found === undefined ? undefined : { name, version: found.version ?? '' }
}

function readManifest(file: string): { readonly version?: string } | undefined {
  if (!existsSync(file)) return undefined
  return JSON.parse(readFileSync(file, 'utf8')) as { readonly version?: string }
}
