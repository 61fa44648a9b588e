/**
 * Beside the guard under which all logic runs (`define/pure-context.ts`) what the thread of a fold takes away for good,
 * because nothing else runs in it: texts that follow the machine's language, and buffers that the heap's limit does not
 * count. State: the globals of the thread.
 */

import { ImpureError } from '../../define/pure-context.ts'

/** Once, before any file of the project is loaded. */
export function guardThread(memoryBytes: number): void {
  guardLocale()
  guardBuffers(memoryBytes)
}

/** Without a locale these follow the machine's; the number is the argument that is the locale. */
const localised: readonly (readonly [object, readonly string[], number])[] = [
  [String.prototype, ['localeCompare'], 1],
  [String.prototype, ['toLocaleLowerCase', 'toLocaleUpperCase'], 0],
  [Number.prototype, ['toLocaleString'], 0],
  [BigInt.prototype, ['toLocaleString'], 0],
  [Array.prototype, ['toLocaleString'], 0],
  [Date.prototype, ['toLocaleString', 'toLocaleDateString', 'toLocaleTimeString'], 0],
]

function guardLocale(): void {
  for (const [owner, names, at] of localised) {
    for (const name of names) {
      const real = Reflect.get(owner, name) as (...given: unknown[]) => unknown
      const guarded = function (this: unknown, ...given: unknown[]): unknown {
        if (given[at] !== undefined) return real.apply(this, given)
        throw new ImpureError(`logic may not use ${name}() without a locale, which differs between machines`)
      }
      Object.defineProperty(owner, name, { value: guarded })
    }
  }
}

const bufferNames = [
  ...['ArrayBuffer', 'Uint8Array', 'Int8Array', 'Uint8ClampedArray', 'Uint16Array', 'Int16Array'],
  ...['Uint32Array', 'Int32Array', 'Float32Array', 'Float64Array', 'BigInt64Array', 'BigUint64Array'],
]
/** Of the widest element. */
const ELEMENT_BYTES = 8

/** One call may take no more than the limit; what is kept beyond a call is no part of the state and soon goes. */
function guardBuffers(memoryBytes: number): void {
  for (const name of bufferNames) {
    const real = Reflect.get(globalThis, name) as new (...given: unknown[]) => object
    const guarded = new Proxy(real, {
      construct(target, given: unknown[], self) {
        const [size] = given
        if (typeof size === 'number' && size * ELEMENT_BYTES > memoryBytes) {
          throw new RangeError(
            `new ${name}(${size}) wants more than the fold's limit of ${memoryBytes} bytes`,
          )
        }
        return Reflect.construct(target, given, self) as object
      },
    })
    Object.defineProperty(globalThis, name, { value: guarded })
  }
}
