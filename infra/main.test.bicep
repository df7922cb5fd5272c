// What PSRule and the compiler are shown: the least and the most that can be asked for. Never deployed.
targetScope = 'subscription'

@description('Region.')
param location string = deployment().location

module least 'main.bicep' = {
  name: 'least'
  params: {
    environmentName: 'least'
    location: location
  }
}

module most 'main.bicep' = {
  name: 'most'
  params: {
    environmentName: 'most'
    location: location
    loadBalancer: 'both'
    openAiCapacity: 50
    openAiBackends: [
      { url: 'https://provisioned.openai.azure.com/', priority: 1, deployments: 'gpt-5.4-mini=ptu' }
      { location: 'East US 2', priority: 2, weight: 3, capacity: 100, sku: 'ProvisionedManaged' }
      { location: 'swedencentral', priority: 2 }
      { location: 'westus3', priority: 3 }
    ]
    embeddingCapacity: 20
    clientApiKeys: 'team-a=not-a-real-key-1,team-a=not-a-real-key-2=,team-b=not-a-real-key-3'
    clientLimits: 'team-a=50000tpm:300rpm:20concurrent'
    balancerSettings: 'AFFINITY=prefix MAX_HOLD_SECONDS=5 BACKEND_1_CAPACITY=300'
    operatorKeys: 'alice=not-a-real-key-4'
    entraTenantIds: '00000000-0000-0000-0000-000000000001,00000000-0000-0000-0000-000000000002'
    entraAllowedClients: 'chat-app=00000000-0000-0000-0000-000000000003'
    entraAllowedOperators: 'alice=00000000-0000-0000-0000-000000000004'
    principalId: '00000000-0000-0000-0000-000000000005'
    appExists: true
    minReplicas: 2
    maxReplicas: 20
    alertEmail: 'team@example.com'
    apimSku: 'StandardV2'
    apimPublisherEmail: 'team@example.com'
  }
}
