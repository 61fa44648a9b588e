/**
 * Cars that drive, and now and then break: readings by a seed, the same for the same seed. `generate.ts` sends them,
 * `train.ts` learns from others of the same kind. A fault shows in two ways: the engine runs hot and loses oil
 * pressure, or it shakes.
 */

export interface Reading {
  readonly reading_id: string
  readonly car_id: string
  readonly measured_at: string
  /** Degrees Celsius. */
  readonly engine_heat: number
  /** Bar. */
  readonly oil_pressure: number
  /** Millimetres a second. */
  readonly vibration: number
  readonly speed: number
  /** What the workshop found later. */
  readonly fault: 'none' | 'cooling' | 'bearing'
}

const BEGIN_MS = Date.parse('2026-05-01T00:00:00Z')
const STEP_MS = 500

export function* drive(seed: number, readings: number, cars: number, from = 0): Generator<Reading> {
  const random = seeded(seed)
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  for (let number = from; number < from + readings; number++) {
    const car = Math.floor(random() * cars)
    const speed = Math.max(0, 60 + 30 * normal())
    const fault = random() > 0.06 ? 'none' : random() < 0.5 ? 'cooling' : 'bearing'
    const [hot, shaking] = [fault === 'cooling' ? 1 : 0, fault === 'bearing' ? 1 : 0]
    yield {
      reading_id: `r${number}`,
      car_id: `car-${car}`,
      measured_at: new Date(BEGIN_MS + number * STEP_MS).toISOString(),
      engine_heat: rounded(88 + speed / 20 + 3 * normal() + hot * (22 + 4 * normal()), 1),
      oil_pressure: rounded(3.5 + speed / 80 + 0.2 * normal() - hot * (1.4 + 0.2 * normal()), 2),
      vibration: rounded(2 + speed / 50 + 0.4 * normal() + shaking * (5 + normal()), 2),
      speed: rounded(speed, 1),
      fault,
    }
  }
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits))
}

/** Mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
