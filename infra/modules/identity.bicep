@description('Name of the identity.')
param name string
@description('Region.')
param location string
@description('Tags.')
param tags object

// One identity for both fronts. It exists before they do, so that its roles are there when they start.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

@description('Resource id.')
output id string = identity.id
@description('Object id, for role assignments.')
output principalId string = identity.properties.principalId
@description('Client id, which says whose token is wanted.')
output clientId string = identity.properties.clientId
