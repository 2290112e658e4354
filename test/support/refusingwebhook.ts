// A webhook that cannot be reached: what it is asked about is refused.

/** @param url errors of the API server name it */
export function refusingSecrets(operation: 'CREATE' | 'UPDATE', url: string) {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: 'frozen' },
    webhooks: [
      {
        name: 'frozen.example.com',
        clientConfig: { url },
        rules: [
          {
            ...{ apiGroups: [''], apiVersions: ['v1'] },
            ...{ operations: [operation], resources: ['secrets'] },
          },
        ],
        failurePolicy: 'Fail',
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
      },
    ],
  };
}
