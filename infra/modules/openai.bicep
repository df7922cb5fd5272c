import { deploymentType } from 'types.bicep'

@description('Name of the resource, and its subdomain.')
param name string
@description('Region.')
param location string
@description('Tags.')
param tags object
@description('Model deployments.')
param deployments deploymentType[]
@description('Object id of the identity that calls it.')
param principalId string

var openAiUser = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '5e0bd9bd-7b93-4f28-af87-19fc36ad61bd')

resource account 'Microsoft.CognitiveServices/accounts@2025-06-01' = {
  name: name
  location: location
  tags: tags
  // Azure turns the older kind OpenAI into this one by itself; deploying that again would turn it back.
  kind: 'AIServices'
  sku: { name: 'S0' }
  identity: { type: 'SystemAssigned' }
  properties: {
    customSubDomainName: name
    disableLocalAuth: true
    publicNetworkAccess: 'Enabled'
  }
}

// Azure makes one at a time on a resource, and refuses the others.
@batchSize(1)
resource deployment 'Microsoft.CognitiveServices/accounts/deployments@2025-06-01' = [
  for item in deployments: {
    parent: account
    name: item.name
    sku: { name: item.sku, capacity: item.capacity }
    properties: {
      model: { format: 'OpenAI', name: item.model, version: item.version }
      versionUpgradeOption: 'OnceCurrentVersionExpired'
    }
  }
]

resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, principalId, openAiUser)
  scope: account
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: openAiUser
  }
}
