@description('Name of the container app.')
param name string
@description('False: it is not asked for.')
param exists bool

// A module of its own: in app.bicep the app would refer to itself.
resource app 'Microsoft.App/containerApps@2025-07-01' existing = if (exists) {
  name: name
}

@description('The image that runs now; empty when there is none.')
output image string = exists ? app!.properties.template.containers[0].image : ''
