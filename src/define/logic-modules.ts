/**
 * Imports logic from the copy of its code that a version keeps, so that versions with different code run side by side
 * in one process: files come from the copy alone, `refold` and packages as in the project. A copy is checked against
 * its hashes before anything of it runs. State: the module hooks of this process, the copies that were loaded.
 *
 * Loads come one after the other, under the guard of `pure-context.ts`.
 */

import { createHash } from 'node:crypto'
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { isBuiltin, type ResolveFnOutput, type ResolveHookContext, registerHooks } from 'node:module'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { RefoldError } from '../model/errors.ts'
import { CODE_FILE, type CodeDef, codeHash, filesOfCode, projectPath, storedPath } from './code.ts'
import { importMistake } from './import-mistake.ts'
import { madeCount, madeLogic } from './made-logic.ts'
import { packageOf } from './package-of.ts'
import { filesOnStack } from './places.ts'
import { ownRoot, resolveProjectModule } from './project-modules.ts'
import { guardedModule, installPureGuard, isGuardedModule, loadPure } from './pure-context.ts'

/** Where copies of code lie, and the project whose packages they use. */
export interface CodePlace {
  /** Absolute; copies stand below it by their hash. */
  readonly folder: string
  /** Absolute folder of the project. */
  readonly root: string
}

export interface LoadedLogic {
  readonly code: CodeDef
  /** What `fn()` and `fold()` made when the entry was imported, e.g. a `FunctionSpec`. */
  find(kind: string, name: string): { readonly kind: string; readonly name: string } | undefined
  /** By the artefact's name: parsed JSON, or its bytes. Each call gives the same frozen value, or the same bytes. */
  readonly artefacts: Readonly<Record<string, unknown>>
}

interface Copy {
  /** With a `/` at its end. */
  readonly url: string
  readonly root: string
  readonly code: CodeDef
}

const SCHEME = 'refold-guarded:'
const copies = new Map<string, Copy>()
const loaded = new Map<string, Promise<LoadedLogic>>()
let last: Promise<unknown> = Promise.resolve()
let hooked = false

/** Throws LOGIC_MISSING, LOGIC_FAILED. The same copy is imported once in a process. */
export function loadLogic(place: CodePlace, hash: string): Promise<LoadedLogic> {
  const folder = path.join(place.folder, hash)
  const known = loaded.get(folder)
  if (known !== undefined) return known
  const loading = last.then(() => load(folder, place.root, hash))
  last = loading.catch(() => undefined)
  loaded.set(folder, loading)
  // Who mends the copy tries again.
  loading.catch(() => loaded.delete(folder))
  return loading
}

/** A `CodeDef` whose copy is whole. Throws LOGIC_MISSING. */
export function checkedCode(folder: string, hash: string): CodeDef {
  let code: CodeDef
  try {
    code = JSON.parse(readFileSync(path.join(folder, CODE_FILE), 'utf8')) as CodeDef
  } catch {
    throw missing(`the code ${hash.slice(0, 12)} is not in "${folder}"`)
  }
  if (code.hash !== hash || codeHash(code) !== hash)
    throw missing(`"${folder}" does not hold the code ${hash}`)
  for (const [file, wanted] of Object.entries(filesOfCode(code))) {
    const at = path.join(folder, storedPath(file))
    const is = existsSync(at) ? createHash('sha256').update(readFileSync(at)).digest('hex') : undefined
    if (is !== wanted)
      throw missing(`file "${file}" of the code ${hash.slice(0, 12)} is ${is ? 'damaged' : 'gone'}`)
  }
  return code
}

function missing(message: string): RefoldError {
  return new RefoldError('LOGIC_MISSING', message)
}

async function load(folder: string, root: string, hash: string): Promise<LoadedLogic> {
  const code = checkedCode(folder, hash)
  checkPackages(code, root)
  installPureGuard()
  hookModules()
  const url = `${pathToFileURL(realpathSync(folder)).href}/`
  copies.set(url, { url, root: existsSync(root) ? realpathSync(root) : root, code })
  const entry = pathToFileURL(path.join(realpathSync(folder), storedPath(code.entry)))
  const before = madeCount()
  try {
    await loadPure(
      (stack) => isInCopy(stack, url),
      () => import(entry.href),
    )
  } catch (error) {
    const at = importMistake(error, fileURLToPath(entry), [fileURLToPath(entry)])
    throw new RefoldError('LOGIC_FAILED', userText(at.message), { cause: error })
  }
  const file = fileURLToPath(entry)
  const specs = madeLogic(before).filter(({ calledAt }) => filesOnStack(calledAt).includes(file))
  const artefacts = Object.entries(code.artefacts).map(([name, { path: given, format }]) => {
    const bytes = readFileSync(path.join(folder, storedPath(given)))
    return [
      name,
      format === 'json' ? deepFreeze(JSON.parse(bytes.toString('utf8'))) : new Uint8Array(bytes),
    ] as const
  })
  return {
    code,
    find: (kind, name) => specs.findLast((spec) => spec.kind === kind && spec.name === name),
    artefacts: Object.fromEntries(artefacts),
  }
}

/** Packages are the project's own; with another one of them the code would be another. */
function checkPackages({ packages, entry }: CodeDef, root: string): void {
  for (const [name, wanted] of Object.entries(packages)) {
    const is = packageOf(path.join(root, entry), name)
    if (is === wanted) continue
    const what = is === undefined ? 'is not installed' : `is ${is} now`
    throw new RefoldError(
      'LOGIC_MISSING',
      `"${entry}" was made with package ${name}@${wanted}, which ${what}`,
      {
        hint: `Install ${name}@${wanted} in the project's folder again, or deploy the project with what it has.`,
      },
    )
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const child of Object.values(value)) deepFreeze(child)
    Object.freeze(value)
  }
  return value
}

// ---- places in the user's files -------------------------------------------------------------------------------

/** A text with files of copies named as they are in the project. */
export function userText(text: string): string {
  let named = text
  for (const { url } of copies.values()) {
    for (const prefix of [`${url}files/`, `${fileURLToPath(url)}files/`]) {
      named = named.replaceAll(prefix, '').replaceAll(`${prefix}$up/`, '../')
    }
  }
  return named
}

export interface UserStack {
  /** Frames of the user's own files, e.g. `at score (logic/score.ts:12:7)`; the rest is left out. */
  readonly stack: string
  /** `logic/score.ts:12:7`, where it is known. */
  readonly at?: string
}

/** What an error that user logic threw says of where it happened, in the project's own paths. */
export function userStack(error: unknown): UserStack {
  const stack = error instanceof Error ? (error.stack ?? '') : ''
  const isUsers = (line: string) =>
    [...copies.values()].some(({ url }) => line.includes(url) || line.includes(fileURLToPath(url)))
  const frames = stack
    .split('\n')
    .filter((line) => /^\s+at /.test(line) && isUsers(line))
    .map((line) => userText(line.trim()))
  const at = /([^\s(]+:\d+:\d+)\)?$/.exec(frames[0] ?? '')?.[1]
  return { stack: frames.join('\n'), ...(at === undefined ? {} : { at }) }
}

/** Whether the innermost frame that is neither Node's nor ours lies in a copy. */
function isInCopy(stack: string, url: string): boolean {
  const ours = fileURLToPath(ownRoot)
  const frame = stack
    .split('\n')
    .find(
      (line) =>
        /^\s+at /.test(line) &&
        !/node:|<anonymous>/.test(line) &&
        !line.includes(ownRoot) &&
        !line.includes(ours),
    )
  return frame !== undefined && (frame.includes(url) || frame.includes(fileURLToPath(url)))
}

// ---- module hooks ---------------------------------------------------------------------------------------------

function hookModules(): void {
  if (hooked) return
  hooked = true
  registerHooks({
    resolve(specifier, context, next) {
      const copy = copyOf(context.parentURL)
      if (copy === undefined) return resolveProjectModule(specifier, context, next)
      return resolveInCopy(copy, specifier, context, next)
    },
    load(url, context, next) {
      if (!url.startsWith(SCHEME)) return next(url, context)
      return { format: 'module', source: guardedSource(url.slice(SCHEME.length)), shortCircuit: true }
    },
  })
}

function copyOf(url: string | undefined): Copy | undefined {
  if (url === undefined) return undefined
  for (const copy of copies.values()) if (url.startsWith(copy.url)) return copy
  return undefined
}

function resolveInCopy(
  copy: Copy,
  specifier: string,
  context: ResolveHookContext,
  next: (specifier: string, context?: Partial<ResolveHookContext>) => ResolveFnOutput,
): ResolveFnOutput {
  if (isBuiltin(specifier)) return resolveBuiltin(specifier, context, next)
  const parent = (context.parentURL ?? '').replace(/[?#].*$/, '')
  const parentPath = projectPath(path.posix.relative(`${copy.url}files`, parent).replaceAll('%24', '$'))
  const parentFile = path.join(copy.root, decodeURIComponent(parentPath))
  if (/^\.{1,2}(\/|$)/.test(specifier)) {
    const wanted = path.resolve(
      path.dirname(parentFile),
      decodeURIComponent(specifier.replace(/[?#].*$/, '')),
    )
    return inCopy(copy, wanted, specifier)
  }
  const inProject = { ...context, parentURL: pathToFileURL(parentFile).href }
  const resolved = resolveProjectModule(specifier, inProject, next)
  const isPackage =
    resolved.shortCircuit === true || !resolved.url.startsWith('file:') || isInPackage(resolved.url)
  return isPackage ? resolved : inCopy(copy, fileURLToPath(resolved.url), specifier)
}

/** A file's own package is found from the project, so a path within a package is no file of the project. */
function isInPackage(url: string): boolean {
  return url.includes('/node_modules/') || url.startsWith(ownRoot)
}

function inCopy(copy: Copy, file: string, specifier: string): ResolveFnOutput {
  const relative = path.relative(copy.root, file).split(path.sep).join('/')
  const found = ['', '.ts', '.js', '.json', '/index.ts', '/index.js'].find(
    (ending) => copy.code.files[relative + ending] !== undefined,
  )
  if (found === undefined)
    throw missing(`"${specifier}" is no part of the code that this version was made with`)
  const stored = path.join(fileURLToPath(copy.url), storedPath(relative + found))
  const isTypeScript = /\.m?ts$/.test(stored)
  return {
    url: pathToFileURL(stored).href,
    shortCircuit: true,
    ...(isTypeScript ? { format: 'module-typescript' } : {}),
  }
}

function resolveBuiltin(
  specifier: string,
  context: ResolveHookContext,
  next: (specifier: string, context?: Partial<ResolveHookContext>) => ResolveFnOutput,
): ResolveFnOutput {
  const name = specifier.replace(/^node:/, '')
  // What is required, not imported, cannot come from a text.
  if (!isGuardedModule(name) || !context.conditions.includes('import')) return next(specifier, context)
  return { url: `${SCHEME}${name}`, format: 'module', shortCircuit: true }
}

/** A module with the members of Node's own, guarded. */
function guardedSource(name: string): string {
  const real = process.getBuiltinModule(`node:${name}`) as Readonly<Record<string, unknown>>
  guarded.set(name, guardedModule(name, real))
  const names = Object.keys(real).filter(
    (member) => /^[A-Za-z_$][\w$]*$/.test(member) && member !== 'default',
  )
  const own = JSON.stringify(import.meta.url)
  const members = names.map((member) => `const $${member} = module[${JSON.stringify(member)}]`)
  const exported = names.map((member) => `$${member} as ${member}`)
  return `import { guardedMembers } from ${own}
const module = guardedMembers(${JSON.stringify(name)})
export default module
${members.join('\n')}
export { ${exported.join(', ')} }`
}

const guarded = new Map<string, Record<string, unknown>>()

/** For the text of `guardedSource` alone. */
export function guardedMembers(name: string): Record<string, unknown> {
  return guarded.get(name) ?? {}
}
