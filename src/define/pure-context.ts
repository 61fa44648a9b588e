/**
 * The guard under which a user's logic runs: the clock, randomness and everything that reaches outside throw an error
 * that says what was used, while the logic runs and while its files are loaded. What is not in the way is as it always
 * is, so engine and packages notice nothing. State: the globals of this process as they were, and whether logic runs.
 *
 * It keeps honest people from mistakes; it is no wall against code that means harm, which a project file is trusted
 * not to be. The time zone becomes UTC, so that dates mean the same on every machine.
 */

export type PureMode =
  /** The module's own top level runs: `process` may be read, as packages do. */
  | 'load'
  /** The logic runs. */
  | 'run'

let mode: PureMode | undefined
let installed = false

/** What a rule of the guard throws; the message says what was used. */
export class ImpureError extends Error {
  override readonly name = 'ImpureError'
}

/** Calls `call` under the guard. Nothing that it returns may go on by itself: a promise is refused by who asked. */
export function runPure<T>(call: () => T): T {
  const before = mode
  mode = 'run'
  try {
    return call()
  } finally {
    mode = before
  }
}

/** The guard while files are loaded. Loads come one after the other; what runs between awaits is guarded too. */
export async function loadPure<T>(isLogic: (stack: string) => boolean, load: () => Promise<T>): Promise<T> {
  installPureGuard()
  loading = isLogic
  try {
    return await load()
  } finally {
    loading = undefined
  }
}

/** While files are loaded: whether a stack is one of the logic's files, rather than of the engine or a package. */
let loading: ((stack: string) => boolean) | undefined

/** Throws where the guard is up. `what` is named as the user wrote it, e.g. `Date.now()`. */
export function refuseImpure(what: string, instead: string): void {
  if (mode === 'run') throw impure(what, instead, 'while it runs')
  if (loading?.(stackHere()) === true) throw impure(what, instead, 'while it is loaded')
}

function impure(what: string, instead: string, when: string): ImpureError {
  return new ImpureError(`logic may not use ${what} ${when}: ${instead}`)
}

function stackHere(): string {
  const holder: { stack?: string } = {}
  Error.captureStackTrace(holder, refuseImpure)
  return holder.stack ?? ''
}

const CLOCK = "the same events must always give the same; take the event's own time as an argument"
const CHANCE = 'the same events must always give the same; take what decides as an argument'
const OUTSIDE = 'it sees its arguments and its artefacts alone; give it a file as an artefact'
const LATER = 'it answers at once; nothing of it may go on later'

/** Puts the guard into this process's globals; once is enough. */
export function installPureGuard(): void {
  if (installed) return
  installed = true
  process.env['TZ'] = 'UTC'
  guardDate()
  guardMember(Math, 'random', 'Math.random()', CHANCE)
  guardMember(performance, 'now', 'performance.now()', CLOCK)
  for (const name of ['getRandomValues', 'randomUUID'] as const) {
    guardMember(crypto, name, `crypto.${name}()`, CHANCE)
  }
  for (const name of ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask'] as const) {
    guardMember(globalThis, name, `${name}()`, LATER)
  }
  guardMember(globalThis, 'fetch', 'fetch()', OUTSIDE)
  for (const name of ['WebSocket', 'EventSource', 'BroadcastChannel', 'MessageChannel', 'WeakRef']) {
    guardRead(name, OUTSIDE)
  }
  guardRead('process', OUTSIDE, 'run')
  guardLocales()
}

/** Without a locale these follow the machine's; the number says which argument is the locale. */
const localised: readonly (readonly [holder: object, names: readonly string[], at: number])[] = [
  [String.prototype, ['localeCompare'], 1],
  [String.prototype, ['toLocaleLowerCase', 'toLocaleUpperCase'], 0],
  [Number.prototype, ['toLocaleString'], 0],
  [BigInt.prototype, ['toLocaleString'], 0],
  [Date.prototype, ['toLocaleString', 'toLocaleDateString', 'toLocaleTimeString'], 0],
  [Intl, ['Collator', 'DateTimeFormat', 'ListFormat', 'NumberFormat', 'PluralRules', 'Segmenter'], 0],
]

const MACHINE = 'it differs between machines; name a locale, e.g. "en"'

function guardLocales(): void {
  for (const [holder, names, at] of localised) {
    for (const name of names) {
      const check = (given: readonly unknown[]) => {
        if (given[at] === undefined && (mode !== undefined || loading !== undefined)) {
          refuseImpure(`${name}() without a locale`, MACHINE)
        }
      }
      const original = Reflect.get(holder, name) as (...given: unknown[]) => unknown
      const value: typeof original = new Proxy(original, {
        apply(target, self, given: unknown[]) {
          check(given)
          return Reflect.apply(target, self, given)
        },
        construct(target, given: unknown[], made): object {
          check(given)
          const own = target as unknown as new (...args: unknown[]) => object
          return Reflect.construct(own, given, made === value ? own : made) as object
        },
      })
      Object.defineProperty(holder, name, { value, writable: true, configurable: true })
    }
  }
}

function guardMember(holder: object, name: string, what: string, instead: string): void {
  const record = holder as Record<string, unknown>
  const original = record[name] as ((...args: unknown[]) => unknown) | undefined
  if (typeof original !== 'function') return
  const guarded = new Proxy(original, {
    apply(target, self, args) {
      if (mode !== undefined || loading !== undefined) refuseImpure(what, instead)
      return Reflect.apply(target, self, args)
    },
  })
  Object.defineProperty(holder, name, { value: guarded, writable: true, configurable: true })
}

/** A global that may not even be looked at. */
function guardRead(name: string, instead: string, only?: PureMode): void {
  const descriptor = Object.getOwnPropertyDescriptor(globalThis, name)
  if (descriptor === undefined || descriptor.configurable !== true) return
  const read = () => (descriptor.get === undefined ? descriptor.value : descriptor.get.call(globalThis))
  Object.defineProperty(globalThis, name, {
    configurable: true,
    enumerable: descriptor.enumerable ?? false,
    get() {
      if (mode === 'run' || (only === undefined && loading !== undefined)) refuseImpure(name, instead)
      return read()
    },
    set(value: unknown) {
      Object.defineProperty(globalThis, name, { value, writable: true, configurable: true })
    },
  })
}

function guardDate(): void {
  const { now } = Date
  guardMember(Date, 'now', 'Date.now()', CLOCK)
  const Plain = Date
  const guarded: DateConstructor = new Proxy(Plain, {
    construct(target, args, made): Date {
      if (args.length === 0 && (mode !== undefined || loading !== undefined))
        refuseImpure('new Date()', CLOCK)
      return Reflect.construct(target, args, made === guarded ? target : made) as Date
    },
    apply() {
      if (mode !== undefined || loading !== undefined) refuseImpure('Date()', CLOCK)
      return new Plain(now()).toString()
    },
  })
  Plain.prototype.constructor = guarded
  Object.defineProperty(globalThis, 'Date', { value: guarded, writable: true, configurable: true })
}

/** Modules of Node that compute and do nothing else. */
const pureModules: ReadonlySet<string> = new Set(
  'assert assert/strict buffer events path path/posix path/win32 punycode querystring string_decoder url util util/types zlib'.split(
    ' ',
  ),
)
/** What is fine of a module that does more than compute. */
const pureMembers: Readonly<Record<string, readonly string[]>> = {
  crypto: ['createHash', 'createHmac', 'hash', 'timingSafeEqual', 'getHashes'],
}

/** Whether logic gets a module of Node in a guarded form. `name` has no `node:`. */
export function isGuardedModule(name: string): boolean {
  return !pureModules.has(name)
}

/** The members of a module of Node, its functions guarded. */
export function guardedModule(
  name: string,
  real: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  installPureGuard()
  const fine = pureMembers[name] ?? []
  const entries = Object.entries(real).map(([member, value]) => {
    if (fine.includes(member)) return [member, value] as const
    return [member, guardedValue(`node:${name} (${member})`, value)] as const
  })
  return Object.fromEntries(entries)
}

function guardedValue(what: string, value: unknown): unknown {
  if (typeof value !== 'function' && (typeof value !== 'object' || value === null)) return value
  return new Proxy(value, {
    get(target, key) {
      refuseImpure(what, OUTSIDE)
      return Reflect.get(target, key)
    },
    apply(target, self, args: unknown[]) {
      refuseImpure(what, OUTSIDE)
      return Reflect.apply(target as (...args: unknown[]) => unknown, self, args)
    },
    construct(target, args) {
      refuseImpure(what, OUTSIDE)
      return Reflect.construct(target as new (...args: unknown[]) => object, args)
    },
  })
}
