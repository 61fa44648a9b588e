/**
 * The worker thread in which a project file is imported and lowered; it sends back plain data and ends. State: the
 * module hooks of this thread, the list of files that were loaded and which of them imports which.
 *
 * Imports of 'refold' always mean this copy of it, so that project and engine agree; 'zod' means the project's own
 * where it has one. Both then work in a folder without `node_modules`.
 */

import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parentPort, workerData } from 'node:worker_threads'
import { RefoldError, toErrorBody } from '../model/errors.ts'
import { importMistake } from './import-mistake.ts'
import type { LoadAnswer } from './load.ts'
import { resolveProject } from './resolve-project.ts'

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
const ownModules: Readonly<Record<string, string>> = {
  refold: new URL(`../index.${extension}`, import.meta.url).href,
  'refold/testing': new URL(`../testing.${extension}`, import.meta.url).href,
}
const ownRoot = new URL('../', import.meta.url).href
const files = new Set<string>()
/** File → files of the project that it imports. */
const imports = new Map<string, Set<string>>()

const { file } = workerData as { readonly file: string }
process.removeAllListeners('warning')
process.on('warning', () => {})
hookModules()
parentPort?.postMessage(await load())

async function load(): Promise<LoadAnswer> {
  const root = path.dirname(file)
  files.add(file)
  try {
    const module = (await import(pathToFileURL(file).href)) as { readonly default?: unknown }
    const sqlFiles = readSqlFiles(path.join(root, 'views'))
    const sourcesOf = (start: readonly string[]) => sourceHashes(root, start)
    const resolved = resolveProject({ file, root, exported: module.default, sqlFiles, sourcesOf })
    if (resolved.ok) return { ok: true, project: resolved.project, files: [...files] }
    return { ok: false, mistakes: resolved.mistakes.map(toErrorBody), files: [...files] }
  } catch (error) {
    const mistake = error instanceof RefoldError ? error : importMistake(error, file, [...files])
    return { ok: false, mistakes: [toErrorBody(mistake)], files: [...files] }
  }
}

function readSqlFiles(folder: string): { name: string; file: string; sql: string }[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => name.endsWith('.sql'))
    .sort()
    .map((name) => {
      const file = path.join(folder, name)
      files.add(file)
      return { name: name.slice(0, -'.sql'.length), file, sql: readFileSync(file, 'utf8') }
    })
}

/** Hashes of the project's files among `start` and of all that they import, by their path below the root. */
function sourceHashes(root: string, start: readonly string[]): Readonly<Record<string, string>> {
  const reached = new Set<string>()
  const reach = (name: string): void => {
    if (reached.has(name) || !files.has(name)) return
    reached.add(name)
    for (const imported of imports.get(name) ?? []) reach(imported)
  }
  for (const name of start) reach(name)
  const entries = [...reached].map((name) => {
    const hash = createHash('sha256').update(readFileSync(name)).digest('hex')
    return [path.relative(root, name).split(path.sep).join('/'), hash] as const
  })
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
}

function noteImport(parent: string | undefined, url: string): void {
  if (parent?.startsWith('file:') !== true || !url.startsWith('file:')) return
  const from = fileURLToPath(parent.replace(/[?#].*$/, ''))
  const known = imports.get(from) ?? new Set()
  imports.set(from, known.add(fileURLToPath(url.replace(/[?#].*$/, ''))))
}

function hookModules(): void {
  registerHooks({
    resolve(specifier, context, next) {
      const own = Object.hasOwn(ownModules, specifier) ? ownModules[specifier] : undefined
      if (own !== undefined) return { url: own, shortCircuit: true }
      try {
        const resolved = withFormat(next(specifier, context))
        noteImport(context.parentURL, resolved.url)
        return resolved
      } catch (error) {
        if (!/^zod(\/|$)/.test(specifier)) throw error
        return next(specifier, { ...context, parentURL: import.meta.url })
      }
    },
    load(url, context, next) {
      if (url.startsWith('file:') && !url.startsWith(ownRoot) && !url.includes('/node_modules/')) {
        files.add(fileURLToPath(url.replace(/[?#].*$/, '')))
      }
      return next(url, context)
    },
  })
}

/** A project's TypeScript is ESM, also where no package.json says so. */
function withFormat<Resolved extends { url: string; format?: string | null | undefined }>(
  resolved: Resolved,
): Resolved {
  const isOwn = resolved.url.startsWith(ownRoot) || resolved.url.includes('/node_modules/')
  if (isOwn || !/\.ts$/.test(resolved.url)) return resolved
  return { ...resolved, format: 'module-typescript' }
}
