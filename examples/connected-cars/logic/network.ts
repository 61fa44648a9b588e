/** A small neural network: features, scaled, one hidden layer, one number from 0 to 1. Pure. */

/** What `train.ts` writes. */
export interface Network {
  readonly features: readonly FeatureName[]
  /** Of each feature, over the readings that it was trained with. */
  readonly means: readonly number[]
  readonly deviations: readonly number[]
  /** For each hidden unit: a weight for each feature, and its bias last. */
  readonly hidden: readonly (readonly number[])[]
  /** A weight for each hidden unit, and the bias last. */
  readonly output: readonly number[]
}

export type FeatureName = 'engine_heat' | 'oil_pressure' | 'vibration' | 'speed'

export type Features = Readonly<Record<FeatureName, number>>

export function score(network: Network, features: Features): number {
  const { means, deviations, hidden, output } = network
  const inputs = network.features.map(
    (name, at) => (features[name] - (means[at] ?? 0)) / (deviations[at] ?? 1),
  )
  const units = hidden.map((weights) => Math.tanh(weighted(weights, inputs)))
  return 1 / (1 + Math.exp(-weighted(output, units)))
}

export function weighted(weights: readonly number[], inputs: readonly number[]): number {
  let sum = weights[inputs.length] ?? 0
  for (let at = 0; at < inputs.length; at++) sum += (weights[at] ?? 0) * (inputs[at] ?? 0)
  return sum
}
